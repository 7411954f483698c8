"""A federation of real processes on loopback: a SuperLink, and sites with a store each, started as users start them."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedray.deployment.processes import end_process
from tests.support.jobs import JOBS, load
from tests.support.loopback import free_port, wait_until

WATCHED = Path(__file__).parent / "opened"
"""Folder of a ``sitecustomize`` that notes which files a process opens."""
_END_S = 60.0


class Hospitals:
    """The folder and the processes; each is a job's command line, and ends with the block."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names, self.port = folder, list(names), free_port()
        self.keys = folder / "keys"
        self._running = contextlib.ExitStack()
        load("site").main(["keys", "--out", str(self.keys), "--sites", *names])

    def __enter__(self) -> "Hospitals":
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()

    def serve(self) -> None:
        """Start the server; it notes every file that one of its processes opens."""
        words = ["server", "run", "--keys", self.keys / "server", "--port", self.port, "--state", self.folder / "link"]
        path = os.pathsep.join([str(WATCHED), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {"PYTHONPATH": path, "FEDRAY_TEST_OPENED": str(self.folder / "opened")}
        process = self._start("server", words, environment)
        wait_until(lambda: "listening on" in self.log("server") or process.poll() is not None, "the server to listen")
        assert process.poll() is None, self.log("server")

    def join(self, name: str, store: Path, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a site."""
        words = ["site", "run", "--keys", self.keys / "sites" / name, "--store", store]
        words += ["--server", f"127.0.0.1:{self.port}"]
        words += ["--state", self.folder / f"state-{name}", "--log", self.folder / f"log-{name}"]
        return self._start(name, words, environment)

    def train(self, *words: object) -> list[str]:
        """Return the command line of a run."""
        return ["train", "--keys", str(self.keys / "server"), "--port", str(self.port), *map(str, words)]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def opened_by_server(self) -> list[str]:
        """Return the files that the server's processes have opened."""
        return [line for path in (self.folder / "opened").iterdir() for line in path.read_text().splitlines()]

    def _start(self, name: str, words: Sequence[object], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        job, *rest = map(str, words)
        (self.folder / "opened").mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, JOBS / f"{job}.py", *rest], env={**os.environ, **environment}, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._running.callback(end_process, process, _END_S)
        return process


@contextlib.contextmanager
def hospitals(folder: Path, stores: Mapping[str, Path]) -> Iterator[Hospitals]:
    """Start a server and a site for every store, by name."""
    with Hospitals(folder, list(stores)) as federation:
        federation.serve()
        for name, store in stores.items():
            federation.join(name, store)
        yield federation
