"""The server's side: a SuperLink that knows the sites by their keys, and runs that are submitted to it."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedray.config import SITES, ExperimentConfig, override
from fedray.deployment.bundle import bundle_of
from fedray.deployment.control import Control, ServerError, site_keys
from fedray.deployment.keys import AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY, KeysError
from fedray.deployment.scores import check_extractor
from fedray.deployment.site import flower_process
from fedray.storage import private_folder
from fedray.tasks import task_of

_LOOK_S = 0.2
"""Between two looks whether it answers, in seconds."""


@dataclass(frozen=True)
class Server:
    """Where a server listens, and what it keeps.

    Attributes:
        keys: Its folder of keys, with the public ones of the sites.
        host: Address that it listens on.
        port: Its port, for sites and for this machine.
        state: Folder for the SuperLink's database and files.
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
    arguments = [
        "--host", server.host,
        "--port", str(server.port),
        "--ssl-ca-certfile", server.keys / AUTHORITY,
        "--ssl-certfile", server.keys / SERVER_CERTIFICATE,
        "--ssl-keyfile", server.keys / SERVER_KEY,
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        "--database", server.state / "superlink.db",
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


def on_sites(config: ExperimentConfig) -> ExperimentConfig:
    """Return an experiment with the tiles of the sites in the place of a store's.

    Raises:
        ConfigError: It asks for what sites cannot do.
        EvaluationError: It asks for features that they cannot agree upon.
    """
    values = {"data.store": SITES, "data.tile_size": None, "data.num_domains": None}
    resolved = override(config, values, source="an experiment on sites").resolved()
    if task_of(resolved).ABILITY == "samples":
        check_extractor(resolved)
    return resolved


def submit(
    config: ExperimentConfig, control: Control, out: str, tracking_uri: str, show: Callable[[str], None]
) -> None:
    """Run an experiment on the sites of a SuperLink, and show its log until it ends; Ctrl-C stops it.

    Args:
        config: The experiment, as :func:`on_sites` returns it.
        control: Of the SuperLink.
        out: Place for the results, as the server sees it.
        tracking_uri: Of MLflow, as the server sees it.
        show: Shows a part of the log.

    Raises:
        ServerError: It failed, or was stopped; the message says of what.
    """
    run = control.start(bundle_of(config, out, tracking_uri))
    try:
        ended = control.follow(run, show)
    except KeyboardInterrupt:
        control.stop(run)
        raise
    if not ended.completed:
        raise ServerError(f"the run failed: {ended.details or 'it was stopped'}")
