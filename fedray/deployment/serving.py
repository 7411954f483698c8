"""The server's side: a SuperLink that knows the sites by their keys."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedray.deployment.control import Control, ServerError, site_keys
from fedray.deployment.keys import AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY, KeysError
from fedray.deployment.processes import flower_process
from fedray.storage import private_folder

_LOOK_S = 0.2
"""Between two looks whether it answers, in seconds."""


@dataclass(frozen=True)
class Server:
    """Where a server listens, and what it keeps.

    Attributes:
        keys: Its folder of keys, with the public ones of the sites.
        host: Address that it listens on.
        port: Its port, for sites and for this machine.
        state: Folder for the SuperLink's files. What it knows is in memory: as a file of SQLite, it was locked as soon
            as several sites sent at once.
        start_timeout_s: Longest that it may take until it answers, in seconds.
    """

    keys: Path
    host: str
    port: int
    state: Path
    start_timeout_s: float


def run_server(server: Server, tell: Callable[[str], None]) -> None:
    """Serve until this process is told to end.

    Args:
        server: Where, and with what.
        tell: Told in a line what comes to be.

    Raises:
        KeysError: A key or a certificate is missing.
        ServerError: The SuperLink ended by itself, or does not answer.
    """
    for name in (AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY):
        if not (server.keys / name).is_file():
            raise KeysError(f"there is no {server.keys / name}; `jobs/site.py keys` makes it for a trial")
    sites = site_keys(server.keys)
    private_folder(server.state)
    arguments: list[str | Path] = [
        "--host", server.host,
        "--port", str(server.port),
        "--ssl-ca-certfile", server.keys / AUTHORITY,
        "--ssl-certfile", server.keys / SERVER_CERTIFICATE,
        "--ssl-keyfile", server.keys / SERVER_KEY,
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip
    home = {"FLWR_HOME": str(server.state.absolute())}
    with (
        flower_process("-m fedray.deployment.superlink", arguments, home) as process,
        closing(Control.of(server.keys, server.port)) as control,
    ):
        deadline = time.monotonic() + server.start_timeout_s
        while not control.answers():
            if process.poll() is not None:
                raise ServerError(
                    f"the SuperLink ended with status {process.returncode} before it answered: is port {server.port} "
                    "taken? Its lines above say more"
                )
            if time.monotonic() > deadline:
                raise ServerError(f"the SuperLink did not answer within {server.start_timeout_s:g} s; see its lines")
            time.sleep(_LOOK_S)
        new, gone = control.register(sites)
        tell(f"sites: {', '.join(sorted(sites))}" + (f"; new: {', '.join(new)}" if new else ""))
        if gone:
            tell(f"may not connect any more: {', '.join(gone)}")
        tell(f"listening on {server.host}:{server.port}")
        process.wait()
    raise ServerError(f"the SuperLink ended with status {process.returncode}; its lines above say why")
