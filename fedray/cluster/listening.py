"""Who may use a Ray: asked of it as a stranger would, by plain gRPC without its token."""

import ipaddress
from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]
import ray
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Listening:
    """Where the control plane of the connected Ray listens.

    Attributes:
        address: ``HOST:PORT``.
        answers_strangers: Whether it answers who has no token: whoever reaches it runs code.
    """

    address: str
    answers_strangers: bool

    @property
    def on_this_machine_alone(self) -> bool:
        """Say whether the address is of loopback."""
        try:
            return ipaddress.ip_address(self.address.rpartition(":")[0].strip("[]")).is_loopback
        except ValueError:  # a name
            return False


def look_at_ray() -> Listening:
    """Look at the connected Ray.

    Raises:
        ConnectionError: It does not answer plain gRPC, as one with TLS.
    """
    address = str(ray.get_runtime_context().gcs_address)
    return Listening(address, answers_strangers(address))


def answers_strangers(address: str) -> bool:
    """Ask a control plane at ``HOST:PORT`` for the names of what it keeps, without a token.

    Raises:
        ConnectionError: Nobody answers there, or not as Ray does.
    """
    request = gcs_service_pb2.InternalKVKeysRequest(prefix=b"")
    with grpc.insecure_channel(address) as channel:
        try:
            gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVKeys(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise ConnectionError(f"{address} does not answer plain gRPC ({error.code().name})") from None
    return True
