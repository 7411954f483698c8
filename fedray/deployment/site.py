"""A site of a federation: its SuperNode, and the process that answers for it, from its start to its end."""

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedray.config import SITES, DataConfig
from fedray.data import TileStore, site_store
from fedray.deployment.audit import AuditLog
from fedray.deployment.kept import STATE
from fedray.deployment.keys import AUTHORITY, SITE_KEY, KeysError, SiteCard
from fedray.deployment.policy import Policy
from fedray.deployment.processes import flower_process
from fedray.errors import UserError
from fedray.federation.sites import STORE
from fedray.storage import private_folder, scratch_folder


class SiteError(UserError, RuntimeError):
    """The site's SuperNode ended. The message says what it was connected to; its own last lines say why."""


@dataclass(frozen=True)
class Site:
    """What a site brings to a federation.

    Attributes:
        keys: Its folder of keys, with ``site.yaml``.
        store: Path of its tile store.
        server: Host and port of the SuperLink.
        state: Folder for what its client keeps.
        log: Folder of its log.
        policy: Its rules.
    """

    keys: Path
    store: Path
    server: str
    state: Path
    log: Path
    policy: Policy


def opened(site: Site) -> tuple[SiteCard, TileStore]:
    """Look at all that a site needs before anything starts.

    Raises:
        KeysError: A key or a certificate is missing.
        StoreError: The store cannot be opened, or has no training tile.
        PolicyError: The store is one that the site's rules forbid to bring.
    """
    card = SiteCard.read(site.keys)
    for name in (AUTHORITY, SITE_KEY):
        if not (site.keys / name).is_file():
            raise KeysError(f"there is no {site.keys / name}; `jobs/site.py keys` makes it for a trial")
    store = site_store(str(site.store), DataConfig(store=SITES))
    site.policy.check_store(store)
    return card, store


def run_site(site: Site) -> None:
    """Take part in the server's runs until this process is told to end.

    Raises:
        SiteError: The SuperNode ended by itself.
        BrokenLogError: The log was changed: nothing is added to it. Others as of :func:`opened`.
    """
    card, store = opened(site)
    log = AuditLog(site.log)
    from fedray.deployment.client import SiteApp  # here: PyTorch takes seconds, and what is wrong is said at once
    from fedray.deployment.node import Worker

    private_folder(site.state)
    node_config: dict[str, str | int] = {
        "partition-id": card.number,
        STORE: str(store.path),
        STATE: str(site.state.absolute()),
    }
    with _super_node(site) as (process, address, secret):
        Worker(address, secret, card.name, node_config, SiteApp(site.policy, log)).work(lambda: process.poll() is None)
    raise SiteError(
        f"the SuperNode of site {card.name!r} ended with status {process.returncode}: is {site.server} the server, "
        f"does its certificate name that host, and is {site.keys / SITE_KEY} registered there? Its lines above say more"
    )


@contextmanager
def _super_node(site: Site) -> Iterator[tuple[subprocess.Popen[bytes], str, bytes]]:
    """Start the SuperNode, and end it with the block."""
    secret, port = secrets.token_bytes(32), _free_port()
    with scratch_folder() as scratch:
        secret_file = scratch / "secret"
        with os.fdopen(os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        arguments: list[str | Path] = [
            "--superlink", site.server,
            "--root-certificates", site.keys / AUTHORITY,
            "--auth-supernode-private-key", site.keys / SITE_KEY,
            "--isolation", "process",
            "--superexec-auth-secret-file", secret_file,
            "--host", "127.0.0.1",
            "--port", str(port),
        ]  # fmt: skip
        with flower_process("flower-supernode", arguments) as process:
            yield process, f"127.0.0.1:{port}", secret


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
