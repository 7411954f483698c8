"""A Ray with a token, a server that asks for none, and a port where nobody is."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import ray
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from fedray.cluster import listening
from fedray.cluster.listening import Listening, answers_strangers, look_at_ray
from fedray.sweep import doctor
from tests.support.loopback import free_port


class Open(gcs_service_pb2_grpc.InternalKVGcsServiceServicer):
    """A control plane as Ray's is without a token."""

    def InternalKVKeys(self, request, context):
        return gcs_service_pb2.InternalKVKeysReply()


@pytest.fixture
def open_address():
    server = grpc.server(ThreadPoolExecutor(1))
    gcs_service_pb2_grpc.add_InternalKVGcsServiceServicer_to_server(Open(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_the_ray_that_is_started_here_answers_no_stranger(ray_session):
    found = look_at_ray()
    assert found == Listening(ray.get_runtime_context().gcs_address, answers_strangers=False)
    assert found.on_this_machine_alone
    said = doctor._about_network()
    assert (said.level, said.text) == ("ok", f"Ray listens to this machine at {found.address} and asks for a token")


def test_one_that_asks_for_no_token_is_a_problem(open_address, monkeypatch):
    assert answers_strangers(open_address)
    monkeypatch.setattr(doctor, "look_at_ray", lambda: Listening("10.0.0.5:6379", answers_strangers(open_address)))
    said = doctor._about_network()
    assert said.level == "problem" and "RAY_AUTH_MODE=token" in said.remedy
    assert said.text.startswith("Ray listens to whoever reaches it at 10.0.0.5:6379 and asks for no token")


def test_where_nobody_answers_nothing_is_claimed(monkeypatch):
    monkeypatch.setattr(listening, "_TIMEOUT_S", 1.0)
    with pytest.raises(ConnectionError, match=r"does not answer plain gRPC \((UNAVAILABLE|DEADLINE_EXCEEDED)\)"):
        answers_strangers(f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("10.0.0.5:6379", False),
        ("0.0.0.0:1", False),
        ("head.example:1", False),
    ],
)
def test_loopback_is_this_machine_alone(address, alone):
    assert Listening(address, False).on_this_machine_alone is alone
