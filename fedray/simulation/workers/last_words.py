"""What worker processes say before they die: Ray's errors leave it out, and it is in files that nobody knows of."""

import re
from collections.abc import Callable
from pathlib import Path

import ray

_MARKERS = re.compile(r"^:(job_id|actor_name|task_name):")  # Ray's own, in the files of workers
_NUM_LINES = 3
_NUM_CHARACTERS = 400
_TAIL_BYTES = 16_384


class StartWatch:
    """Explains why no worker comes up, with what processes said that died before they belonged to anybody."""

    def __init__(self, describe_capacity: Callable[[], str]) -> None:
        """Remember where the node's log ends now: what is said later is about our workers.

        Args:
            describe_capacity: Says what was asked for and what there is.
        """
        self._describe_capacity = describe_capacity
        self._log = _logs() / "raylet.err"
        self._start = self._log.stat().st_size if self._log.is_file() else 0

    def explain(self) -> str:
        """Return the last words on this machine; without any, what was asked for and what there is."""
        if words := _tail(self._log, self._start):
            return f"worker processes die as they start, and say: {words}; all of it is in {self._log}"
        return f"{self._describe_capacity()}; if there is room for them, see raylet.err in {_logs()} on their machines"


def of_worker(death: str) -> str:
    """Return what a worker last wrote to its standard error, from Ray's text about its death; empty if nothing.

    Where that worker was on another machine, it is the place of the file.
    """
    pid, address = (re.search(rf"\b{name}: (\S+)", death) for name in ("pid", "ip"))
    if pid is None:
        return ""
    name = f"worker-*-{pid[1]}.err"
    if address is not None and address[1] not in _own_addresses():
        return f"its last words are on {address[1]} in {_logs() / name}"
    newest = max(_logs().glob(name), key=lambda path: path.stat().st_mtime, default=None)
    words = _tail(newest) if newest else ""
    return f"its last words: {words}" if words else ""


def _own_addresses() -> set[str]:
    return {ray.util.get_node_ip_address(), "127.0.0.1"}


def _logs() -> Path:
    node = ray._private.worker._global_node
    return Path(node.get_logs_dir_path() if node is not None else "/tmp/ray/session_latest/logs")


def _tail(path: Path, start: int = 0) -> str:
    """Join the last lines of a file that say something, from a position on."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _MARKERS.match(line)]
    return " | ".join(lines[-_NUM_LINES:])[-_NUM_CHARACTERS:]
