"""A job's start in a process of its own, to its first round: how long it takes, and how much of that are digests.

Run as ``python -m benchmarks.digests.start STORE FOLDER BEGAN``: a tile store's address, a folder for all that the job
leaves, and when the process was started. Writes ``start.json`` into the folder.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKS = (
    ("fedray.data.store", "codes_digest"),
    ("fedray.data.digests", "PixelCheck.damaged"),
    ("fedray.evaluation.cache", "_digest_of"),
    ("fedray.storage.sealed", "_seal_of"),
    ("fedray.storage.sealed", "_table_seal_of"),
)
"""Everything in a start that takes or compares a digest of what is read."""


class Clock:
    """Adds up the time within some functions; one that calls another is counted once."""

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds = 0.0
        self._depth = 0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is counted."""

        def counted(*arguments: Any, **more: Any) -> Any:
            self._depth += 1
            began = time.perf_counter()
            try:
                return call(*arguments, **more)
            finally:
                self._depth -= 1
                self.seconds += time.perf_counter() - began if self._depth == 0 else 0.0

        return counted


class _FirstRound(BaseException):
    """The start is over."""


def main() -> None:
    """Start an experiment, and end it where its first round would begin."""
    store, folder, began = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    os.environ["FEDRAY_CACHE"], os.environ["FEDRAY_RESULTS"] = str(folder / "cache"), str(folder)
    clock = Clock()
    for module, name in CHECKS:
        owner = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, clock.timed(getattr(owner, last)))

    from fedray.config import ExperimentConfig, override
    from fedray.experiment.run import run_experiment
    from fedray.experiment.telling import Alone

    class Until(Alone):
        def begin(self, *arguments: Any) -> Any:
            raise _FirstRound

    config = override(ExperimentConfig(), {"data.store": store, "federation.num_clients": 2}, source="the benchmark")
    try:
        run_experiment(
            config, out=folder / f"run-{began}", tracking_uri=f"sqlite:///{folder}/mlflow.db", telling=Until()
        )
    except _FirstRound:
        seconds = time.time() - began
    (folder / "start.json").write_text(json.dumps({"seconds": seconds, "digests": clock.seconds}))


if __name__ == "__main__":
    main()
