"""Flower's SuperLink, as hospitals need it: who calls from another machine can be a registered site, and nothing else.

Flower serves three interfaces on one port: that of the sites, which knows them by their keys, and those by which runs
are started and server apps fetch their work, which know nobody. Whoever reaches the port could start a run, or register
a key. Here these two answer this machine alone. ``python -m fedray.deployment.superlink`` takes the arguments of
``flower-superlink``.
"""

from ipaddress import ip_address

import uvicorn
from flwr.supercore.http_logging import get_uvicorn_log_config
from flwr.supercore.logger import console_handler
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan, _parse_superlink_lifespan_config
from flwr.superlink.main import create_app
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

FOR_SITES = ("/v1/fleet/", "/health")
"""Beginnings of the paths that answer other machines: what sites ask, and what asks whether the server is there."""


class OnlySitesFromAfar:
    """ASGI middleware that refuses what other machines ask, unless it is what sites ask."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, or refuse."""
        if scope["type"] == "lifespan" or is_from_here(scope) or str(scope["path"]).startswith(FOR_SITES):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("This answers the server's own machine alone.", status_code=403)
        await refusal(scope, receive, send)


def is_from_here(scope: Scope) -> bool:
    """Say whether a request comes from the server's own machine: over loopback, or from the address it went to."""
    client, server = scope.get("client"), scope.get("server")
    if not client:
        return False
    return ip_address(client[0]).is_loopback or (server is not None and client[0] == server[0])


def serve() -> None:
    """Parse the command line as ``flower-superlink`` does, and serve until the process is told to end."""
    config = _parse_superlink_lifespan_config()
    app = create_app(config, SuperLinkLifespan)
    app.add_middleware(OnlySitesFromAfar)
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
        log_config=get_uvicorn_log_config(console_handler.level),
        ssl_keyfile=config.ssl_keyfile,
        ssl_certfile=config.ssl_certfile,
        proxy_headers=False,  # what a caller writes into a header must not make it one of this machine
        workers=1,  # Flower's own: the SuperLink starts its other processes once
    )


if __name__ == "__main__":
    serve()
