"""The login of a local Ray, asked for by plain gRPC and HTTP as a stranger would; and where it listens."""

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import psutil
import pytest
import ray
import requests
from ray import _raylet
from ray.core.generated import core_worker_pb2 as of_worker
from ray.core.generated import core_worker_pb2_grpc as worker
from ray.core.generated import gcs_service_pb2 as of_gcs
from ray.core.generated import gcs_service_pb2_grpc as gcs
from ray.core.generated import node_manager_pb2 as of_node
from ray.core.generated import node_manager_pb2_grpc as node

from fedray.simulation import SimulationError
from fedray.simulation.workers.login import require_login, withdraw_login

CALLS = {
    "gcs": (gcs.InternalKVGcsServiceStub, "InternalKVKeys", of_gcs.InternalKVKeysRequest(prefix=b"")),
    "raylet": (node.NodeManagerServiceStub, "GetSystemConfig", of_node.GetSystemConfigRequest()),
    "worker": (worker.CoreWorkerServiceStub, "NumPendingTasks", of_worker.NumPendingTasksRequest()),
}
"""A call that each kind of process of Ray answers, and none but it knows."""


def answer(port: int, kind: str, token: str | None) -> grpc.StatusCode:
    stub, method, request = CALLS[kind]
    login = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            getattr(stub(channel), method)(request, timeout=10, metadata=login)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def served(port: int) -> int | str | None:
    """What a web server gives who has no token; None: it is none. Servers of nothing but counters have one page."""
    with contextlib.suppress(requests.RequestException):
        answer = requests.get(f"http://127.0.0.1:{port}/api/jobs/", timeout=10)
        return "counters" if answer.text.startswith("# HELP ") else answer.status_code
    return None


@pytest.fixture
def listening(ray_session):
    """Addresses on which the suite's Ray listens, this process's among them."""
    ray.get(ray.remote(num_cpus=0)(lambda: None).remote())  # there is a worker process
    found = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [at.laddr for at in process.net_connections("inet") if at.status == psutil.CONN_LISTEN]
    return found


def test_it_listens_on_loopback_and_answers_nobody_without_its_token(listening):
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
    asked = {
        (port, kind): code
        for port in {address.port for address in listening}
        for kind in CALLS
        if (code := answer(port, kind, token)) is grpc.StatusCode.OK
    }
    assert {kind for _, kind in asked} == set(CALLS)
    for port, kind in asked:
        assert answer(port, kind, None) is grpc.StatusCode.UNAUTHENTICATED
        assert answer(port, kind, token[::-1]) is grpc.StatusCode.UNAUTHENTICATED
    assert {page for address in listening if (page := served(address.port))} <= {401, "counters"}


def test_its_token_and_its_session_are_this_users_alone(ray_session):
    path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and path.parent == session.parents[1]


def test_no_command_line_and_no_log_of_it_has_the_token(ray_session):
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            assert token not in " ".join(process.cmdline())
            assert token not in " ".join(process.environ().values())
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    logs = [path for path in (session / "logs").rglob("*") if path.is_file()]
    assert logs and not [path for path in logs if token.encode() in path.read_bytes()]


IN_A_NEW_PROCESS = """
import os, sys
from pathlib import Path
from fedray.simulation.workers.login import require_login, withdraw_login
from ray import _raylet

def seen():
    loader = _raylet.AuthenticationTokenLoader.instance()
    return _raylet.get_authentication_mode(), loader.has_token() and loader.get_raw_token()

folder = Path(sys.argv[1])
before = dict(os.environ), seen()
paths = [require_login(folder) for _ in range(2)]
assert [path.exists() for path in paths] == [False, True]  # one at a time
assert seen() == (1, paths[1].read_text()) and len(paths[1].read_text()) == 64
assert os.environ["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN" not in os.environ
withdraw_login()
assert (dict(os.environ), seen()) == before, seen()
assert list(folder.iterdir()) == []
last = require_login(folder)
print(last.name)
sys.stdout.flush()
os._exit(0) if sys.argv[2] == "killed" else None
"""


@pytest.mark.parametrize(("end", "left"), [("killed", 1), ("orderly", 0)])
def test_another_rays_login_comes_back_and_no_token_stays(tmp_path, end, left):
    told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of the hospital's cluster, and 32 bytes"}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, str(tmp_path), end],
        env={key: value for key, value in os.environ.items() if key != "RAY_AUTH_TOKEN_PATH"} | told,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(tmp_path.iterdir())) == left


@pytest.fixture
def unread(monkeypatch):
    """Ray does not look at the environment again: the suite's own login stays what it uses."""
    from fedray.simulation.workers import login

    monkeypatch.setattr(login, "_read_again", lambda: None)
    monkeypatch.setattr(login, "_held", [])
    monkeypatch.setattr(login, "_before", {})
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_tokens_of_processes_that_ended_go_and_those_of_running_ones_stay(unread, tmp_path):
    (tmp_path / "token-4711-killed").write_text("of a process that was killed")
    (tmp_path / "token-4712-link").symlink_to(Path(__file__))
    with subprocess.Popen(["flock", tmp_path / "token-4713-runs", "cat"], stdin=subprocess.PIPE) as other:
        while subprocess.run(["flock", "-n", tmp_path / "token-4713-runs", "true"], check=False).returncode == 0:
            pass
        own = require_login(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {own.name, "token-4713-runs", "token-4712-link"}
        withdraw_login()
        other.communicate()
    assert Path(__file__).exists()


def test_a_ray_without_tokens_is_not_started(unread, monkeypatch, tmp_path):
    monkeypatch.delattr(_raylet, "AuthenticationTokenLoader")
    with pytest.raises(
        SimulationError, match=r"asks for a token, which Ray [\d.]+ does not know: .* requirements.lock"
    ):
        require_login(tmp_path)
    assert list(tmp_path.iterdir()) == []
