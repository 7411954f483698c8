import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fedray.tracking import Tracker
from tests.support.loopback import free_port, wait_until
from tests.support.small import NewDatabase


class MlflowServer:
    """A real `mlflow server` on loopback that can be killed, frozen and brought back on the same port and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "served"),
        ]  # fmt: skip
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_healthy()

    def stop(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self._wait_until_healthy()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)  # the server's own session: its workers end with it

    def _wait_until_healthy(self) -> None:
        wait_until(self._is_healthy, (self.folder / "server.log").read_text)

    def _is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=1).ok
        except requests.RequestException:
            return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    new_database(server.folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def closed_port() -> int:
    return free_port()


@pytest.fixture
def uri(new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh SQLite store, and an empty working directory."""
    monkeypatch.chdir(new_folder(tmp_path, "elsewhere"))
    return new_database(tmp_path)


@pytest.fixture
def tracker(uri: str) -> Tracker:
    return Tracker(uri, "tests")


def new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
