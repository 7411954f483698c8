"""Who may ask what of a server, before Flower hears of it."""

import asyncio

import pytest

from fedray.deployment.superlink import OnlySitesFromAfar


def status_of(path, client, server=("10.0.0.5", 8000)):
    """Return the status of a request that would be answered with 200."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "path": path, "method": "POST", "client": client, "server": server, "headers": []}
    asyncio.run(OnlySitesFromAfar(app)(scope, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run", "/v1/control/register-node", "/v1/runtime/acquire-task", "/docs", "/",
        "/v1/fleetx/pull-messages", "//v1/fleet/pull-messages", "/v1/control/../fleet/",
    ],
)  # fmt: skip
def test_another_machine_cannot_start_runs_register_keys_or_fetch_work(path):
    assert status_of(path, ("10.0.0.9", 4444)) == 403
    assert status_of(path, None) == 403
    assert status_of(path, ("127.0.0.1", 4444)) == status_of(path, ("::1", 4444)) == 200
    assert status_of(path, ("10.0.0.5", 4444)) == 200, "this machine, by its own address"


@pytest.mark.parametrize("path", ["/v1/fleet/pull-messages", "/health"])
def test_sites_are_heard(path):
    assert status_of(path, ("10.0.0.9", 4444)) == 200
