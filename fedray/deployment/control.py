"""The SuperLink as the server's operator sees it: keys are registered, runs are started, and end with the truth."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import fab_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, uses_nist_ec_curve

from fedray.deployment.keys import AUTHORITY, SITES, KeysError
from fedray.errors import UserError


class ServerError(UserError, RuntimeError):
    """The SuperLink does not answer, or a run on it failed. The message says which, and the remedy or the cause."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        completed: Whether it did all that it was to do.
        details: What stopped it otherwise, in its own words.
    """

    completed: bool
    details: str


class Control:
    """Calls of the operator to a SuperLink on this machine."""

    def __init__(self, address: str, authority: bytes) -> None:
        """Name the SuperLink.

        Args:
            address: Host and port, such as ``127.0.0.1:8000``.
            authority: Certificate that its own is signed by, PEM.
        """
        self._address = address
        versions = RuntimeVersionHttpInterceptor(component_name="flwr CLI")
        self._client = ControlHttpClient.from_server_address(address, False, authority, [versions])

    @classmethod
    def of(cls, keys: Path, port: int) -> "Control":
        """Name the SuperLink of this machine by the server's folder of keys.

        Raises:
            KeysError: The folder holds no certificate of an authority.
        """
        try:
            return cls(f"127.0.0.1:{port}", (keys / AUTHORITY).read_bytes())
        except OSError as error:
            raise KeysError(
                f"{keys / AUTHORITY} cannot be read ({error.strerror}); give the server's folder of keys, which "
                "`jobs/site.py keys` makes"
            ) from None

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def answers(self) -> bool:
        """Say whether it is there."""
        try:
            self._client.ListNodes(ListNodesRequest())
        except httpx.HTTPError:
            return False
        return True

    def register(self, keys: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
        """Make these the keys of all sites: others, whose files are gone, may not connect any more.

        Args:
            keys: Public keys by name of the site.

        Returns:
            Names of the sites that are new, and of those that are struck off.

        Raises:
            ServerError: It does not answer, or refuses a key.
        """
        with self._told("register the sites' keys"):
            known = {node.public_key: node for node in self._client.ListNodes(ListNodesRequest()).nodes_info}
            new = {name: key for name, key in keys.items() if key not in known}
            for name, key in new.items():
                self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
            gone = [node for key, node in known.items() if key not in keys.values() and node.status != "unregistered"]
            for node in gone:
                self._client.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))
        return sorted(new), sorted(node.name for node in gone)

    def start(self, bundle: bytes) -> int:
        """Start a run of a bundle; returns its number.

        Raises:
            ServerError: It does not answer, or refuses.
        """
        with self._told("start the run"):
            answer = self._client.StartRun(StartRunRequest(fab=fab_to_proto(Fab("", bundle, {}))))
        if not answer.HasField("run_id"):
            raise ServerError(f"the SuperLink at {self._address} did not start the run; its log says why")
        return int(answer.run_id)

    def follow(self, run: int, show: Callable[[str], None]) -> Ended:
        """Show what a run logs until it has ended; returns how.

        Raises:
            ServerError: It does not answer any more.
        """
        with self._told("follow the run"):
            for said in self._client.StreamLogs(StreamLogsRequest(run_id=run)):
                show(said.log_output)
            status = self._client.ListRuns(ListRunsRequest(run_id=run)).run_dict[run].status
        assert status.status == Status.FINISHED, "the log ends with the run"
        return Ended(status.sub_status == SubStatus.COMPLETED, status.details)

    def stop(self, run: int) -> None:
        """Stop a run.

        Raises:
            ServerError: It does not answer, or refuses.
        """
        with self._told("stop the run"):
            self._client.StopRun(StopRunRequest(run_id=run))

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say in words what a call failed of."""
        try:
            yield
        except httpx.HTTPStatusError as error:
            said = FlowerError.from_json(error.response.text)
            reason = said.message if said else f"status {error.response.status_code}"
            raise ServerError(f"the SuperLink at {self._address} did not {what}: {reason}") from None
        except httpx.HTTPError as error:
            raise ServerError(
                f"the SuperLink at {self._address} does not answer ({error}); is `jobs/server.py run` up on this "
                "machine, and is the folder of keys its own?"
            ) from None


def site_keys(keys: Path) -> dict[str, bytes]:
    """Read the sites' public keys out of the server's folder, by name of the site.

    Raises:
        KeysError: There is none, or one is no key of a site.
    """
    found = sorted((keys / SITES).glob("*.pub"))
    if not found:
        raise KeysError(f"there is no site's public key in {keys / SITES}: put NAME.pub of every site there")
    return {path.stem: _public_key(path) for path in found}


def _public_key(path: Path) -> bytes:
    try:
        key = load_ssh_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not uses_nist_ec_curve(key):
        raise KeysError(
            f"{path} is no public key of a site, which is one of a NIST curve as ssh writes it: ssh-keygen -t ecdsa "
            "-b 384"
        )
    return public_key_to_bytes(key)
