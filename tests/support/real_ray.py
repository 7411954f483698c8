"""A Ray of its own on this machine, started by `ray start` as administrators do, and ended with all its processes."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ray.job_submission import JobStatus, JobSubmissionClient

from tests.support.loopback import free_port, wait_until

REPOSITORY = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
DEADLINE_S = 240.0


@dataclass(frozen=True)
class RealRay:
    """A running head node, which asks for a token."""

    address: str
    dashboard: str
    environment: Mapping[str, str]
    login: Mapping[str, str]
    """The headers that requests to its dashboard need."""

    def command(self, *words: str) -> str:
        """Run `ray ...` against it; returns what it printed."""
        done = subprocess.run(
            [RAY, *words], env=dict(self.environment), cwd=REPOSITORY, capture_output=True, text=True, check=False,
            timeout=DEADLINE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def job(self, job_id: str) -> "Job":
        """Return a job that was submitted to it."""
        return Job(JobSubmissionClient(self.dashboard, headers=dict(self.login)), job_id)


@dataclass(frozen=True)
class Job:
    """A job as its cluster knows it."""

    client: JobSubmissionClient
    job_id: str

    def logs(self) -> str:
        """Return what it has printed."""
        return str(self.client.get_job_logs(self.job_id))

    def wait_for(self, text: str) -> str:
        """Wait until a job has printed something."""
        wait_until(lambda: text in self.logs() or self._over(), f"{text!r} of {self.job_id}")
        logs = self.logs()
        assert text in logs, logs
        return logs

    def stop(self) -> None:
        """Ask for its end, as `ray job stop` does after seconds of imports."""
        self.client.stop_job(self.job_id)

    def wait_for_end(self) -> str:
        """Wait until a job is over; returns its status."""
        wait_until(self._over, f"the end of {self.job_id}")
        return str(self.client.get_job_status(self.job_id).value)

    def _over(self) -> bool:
        status: JobStatus = self.client.get_job_status(self.job_id)
        return bool(status.is_terminal())


@contextmanager
def real_ray(*options: str, port: int | None = None, **environment: str) -> Iterator[RealRay]:
    """Start a head node with options of `ray start`, on free ports of loopback."""
    port, dashboard, client = port or free_port(), free_port(), free_port()
    home = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # No workers ahead of any work: ours have an environment of their own, and would leave those idle.
    ours = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "RAY_prestart_worker_first_driver": "0"}
    everything = inherited | home | ours | environment
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:  # short: sockets
        command = [
            RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
            "--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
            f"--ray-client-server-port={client}", "--dashboard-agent-listen-port=0", f"--temp-dir={folder}",
            "--disable-usage-stats", *options,
        ]  # fmt: skip
        token = Path(folder) / "token"
        token.write_text(secrets.token_hex(32))
        everything |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        login = {"Authorization": f"Bearer {token.read_text()}"}
        log = Path(folder) / "start.log"
        with log.open("wb") as output:
            head = subprocess.Popen(command, env=everything, stdout=output, stderr=output, start_new_session=True)
        address = f"http://127.0.0.1:{dashboard}"
        try:
            wait_until(lambda: head.poll() is not None or _takes_jobs(address, login), "the head node")
            assert head.poll() is None, log.read_text()
            here = {"RAY_ADDRESS": address, "RAY_API_SERVER_ADDRESS": address}
            yield RealRay(f"127.0.0.1:{port}", address, everything | here, login)
        finally:
            head.send_signal(signal.SIGTERM)  # it ends what it has started, but for the nodes of an autoscaler
            with suppress(subprocess.TimeoutExpired):
                head.wait(timeout=60)
            for pid in session_of(head.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def without_the_suites_ray(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for processes that start a Ray of their own in another way."""
    own = ("RAY_ADDRESS", "RAY_AUTH_", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    return {name: value for name, value in environment.items() if not name.startswith(own)}


def session_of(leader: int) -> list[int]:
    """List the processes of a session: all that a leader's children have started, too."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return found


def _takes_jobs(address: str, login: dict[str, str]) -> bool:
    """Say whether the dashboard and the agent behind it are up: the one answers long before the other."""
    try:
        JobSubmissionClient(address, headers=login).submit_job(entrypoint="true")
    except (OSError, RuntimeError):  # requests raises an OSError, and Ray a RuntimeError
        return False
    return True
