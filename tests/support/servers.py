"""A PostgreSQL and an MLflow server started by mlflow/serve.sh, both on loopback and ended with the tests."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import pytest
import requests

from tests.support.loopback import free_port, wait_until

REPOSITORY = Path(__file__).parents[2]
MLFLOW = REPOSITORY / "mlflow"
ADMIN_PASSWORD = "correct/horse@battery%20staple"  # characters that would break an address
START_S = 150.0


def missing(program: str, package: str) -> None:
    """Skip the test where a system program is not installed; fail it where CI says that it must be."""
    message = f"{program} is not installed (Debian: {package})"
    if os.environ.get("FEDRAY_TEST_ALL"):
        pytest.fail(message)
    pytest.skip(message)


class Postgres:
    """A PostgreSQL of its own, in a folder of its own; as root it runs as the user postgres, for it refuses root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.password = programs, folder, f"p%40{secrets.token_hex(8)}/@"
        self.port = 0
        self._as_user = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.geteuid() == 0 else {}

    def start(self) -> None:
        if self._as_user:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        os.chmod(password_file, 0o644)
        initdb = [
            self.programs / "initdb", "--pgdata", self.folder / "data", "--username", "mlflow", "--no-sync",
            "--auth", "scram-sha-256", "--pwfile", password_file,
        ]  # fmt: skip
        subprocess.run(initdb, check=True, capture_output=True, cwd=self.folder, **self._as_user)
        self.port = free_port()
        serve = [
            self.programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder,
            "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
        ]  # fmt: skip
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(serve, cwd=self.folder, stdout=log, stderr=log, **self._as_user)
        wait_until(self._answers, lambda: (self.folder / "log").read_text())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)  # its immediate shutdown, which ends its children too
        self._process.wait(30)

    def create_database(self, name: str) -> str:
        """Create an empty database and return its address, without the password: that goes into PGPASSWORD."""
        with contextlib.closing(self._connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return f"postgresql://mlflow@127.0.0.1:{self.port}/{name}"

    def _connect(self) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user="mlflow", password=self.password, dbname="postgres"
        )

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        missing("PostgreSQL", "postgresql")
    # Not in pytest's own folder, which the user postgres may not enter.
    folder = Path(tempfile.mkdtemp(prefix="fedray-postgres-"))
    server = Postgres(Path(initdb).parent, folder)
    try:
        server.start()
        yield server
    finally:
        if server.port:
            server.stop()
        shutil.rmtree(folder)


class ServedMlflow:
    """mlflow/serve.sh on a free port of loopback; it can be killed and brought back on the same port."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.environment = script_environment() | {
            "MLFLOW_SERVER_DATA": str(folder / "data"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(self.port),
            "MLFLOW_WORKERS": "1",  # each takes seconds to start
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [MLFLOW / "serve.sh"], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self._answers, lambda: (self.folder / "log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def command_lines(self) -> str:
        """Return what the process list shows of the server and its workers."""
        assert self.process is not None
        shown = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getsid(int(process.name)) == self.process.pid:
                    shown.append((process / "cmdline").read_text().replace("\0", " "))
        assert len(shown) >= 2, shown  # mlflow and uvicorn
        return "\n".join(shown)

    def request(self, method: str, path: str, user: str = "admin", password: str = ADMIN_PASSWORD, **more) -> int:
        """Return the status of a request to the API."""
        url = f"{self.uri}/api/{path}"
        return requests.request(method, url, auth=(user, password), timeout=30, **more).status_code

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return requests.get(f"{self.uri}/health", timeout=1).ok
        except requests.RequestException:
            return False


def script_environment() -> dict[str, str]:
    """Return the environment without what the machine's user has set for MLflow, PostgreSQL and S3."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PG", "AWS_"))}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true"}


def run_script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the folder's scripts to its end."""
    command = [str(MLFLOW / name), *map(str, arguments)]
    everything = script_environment() | environment
    return subprocess.run(
        command, env=everything, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
    )
