"""The site's log of what came in and went out: a line a message, each with the hash of the line before it.

A byte that is changed, a line that is missing or one put in between breaks the chain, and a file beside the log says
where it ends. Whoever can write the folder can write another log from its beginning: keep the newest hash elsewhere,
too (``jobs/site.py log`` prints it), and that shows.
"""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flwr.app import ConfigRecord, Message, MetricRecord

from fedray.errors import UserError
from fedray.federation.messages import CONFIG, ROUND
from fedray.federation.sites import AGREED, RUN
from fedray.storage import private_folder, write_whole

BEGIN = "0" * 64
"""Stands for the hash of a line before the first."""
HEAD = "head.json"
"""File with the number of lines, the hash of the last one, and the file that it is in."""
LARGEST = 16 * 2**20
"""Bytes of a file after which the next one begins."""

_SHOWN = 32  # entries of a record that a line names; of the others it has their number


class BrokenLogError(UserError, ValueError):
    """The log is not what was written. The message says at which line of which file."""


class End(NamedTuple):
    """Where a log ends."""

    lines: int
    """In all files together."""
    hash: str
    """Of the last line, SHA-256; :data:`BEGIN` of an empty log."""
    file: int
    """That it is in, from 1."""


class AuditLog:
    """A log that is only added to. One process writes it."""

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        """Go on with the log in a folder, or begin one.

        Args:
            folder: Made where it is missing, for this user alone.
            largest: Bytes after which the next file begins.

        Raises:
            BrokenLogError: It is not what was written: nothing is added to such a log.
        """
        private_folder(folder)
        self._folder, self._largest = folder, largest
        self._end = verified(folder)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add a line.

        Args:
            entry: What it says, as JSON can hold it; the time and the hash of the line before are put to it.

        Raises:
            OSError: It cannot be written: then whoever wants it logged does not go on.
        """
        told = {"time": _now(), **entry, "previous": self._end.hash}
        line = json.dumps(told, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        path = _file(self._folder, self._end.file)
        number = self._end.file + (path.exists() and path.stat().st_size >= self._largest)
        with _file(self._folder, number).open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._end = End(self._end.lines + 1, hashlib.sha256(line).hexdigest(), number)
        write_whole(self._folder / HEAD, json.dumps(self._end._asdict()).encode())


def described(message: Message, decision: str) -> dict[str, Any]:
    """Say of a message what a log says of it: what is in it, and how large, and no value but names and counts.

    Args:
        message: That came in, or is to go out.
        decision: What was decided of it.
    """
    told: dict[str, Any] = {"kind": message.metadata.message_type, "decision": decision}
    if message.has_error():
        return told | {"error": str(message.error.reason)}
    content = message.content
    header, agreed = (content.config_records.get(name) for name in (CONFIG, AGREED))
    told |= {"round": header.get(ROUND) if header else None, "run": agreed.get(RUN) if agreed else None}
    digest, records = hashlib.sha256(), dict[str, Any]()
    for name, record in sorted(content.array_records.items()):
        shapes = {entry: [array.dtype, *array.shape] for entry, array in record.items()}
        for entry, array in record.items():
            digest.update(entry.encode())
            digest.update(array.data)
        size = sum(len(array.data) for array in record.values())
        records[name] = {"bytes": size, "entries": len(shapes), "arrays": dict(list(shapes.items())[:_SHOWN])}
    plain: dict[str, MetricRecord | ConfigRecord] = {**content.metric_records, **content.config_records}
    for name, values in sorted(plain.items()):
        text = json.dumps(dict(values), sort_keys=True, default=str).encode()
        digest.update(text)
        records[name] = {"bytes": len(text), "entries": len(values), "names": list(values)[:_SHOWN]}
    return told | {"records": records, "sha256": digest.hexdigest()}


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a log that is whole."""
    for path in sorted(folder.glob("audit-*.jsonl")):
        yield from map(json.loads, path.read_bytes().splitlines())


def verified(folder: Path) -> End:
    """Say where a log ends, after all of it was looked at.

    Raises:
        BrokenLogError: It is not what was written. The message says where.
    """
    files, end, before = sorted(folder.glob("audit-*.jsonl")), End(0, BEGIN, 1), BEGIN
    for number, path in enumerate(files, start=1):
        if path != _file(folder, number):
            raise BrokenLogError(f"{folder}: {_file(folder, number).name} is missing")
        for place, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
            _check_line(line, end.hash, f"{folder}: {path.name}, line {place}")
            before, end = end.hash, End(end.lines + 1, hashlib.sha256(line).hexdigest(), number)
    noted = _noted(folder)
    if noted == end or (end.lines == noted.lines + 1 and before == noted.hash):  # a process died between the two
        return end
    raise BrokenLogError(
        f"{folder}: the log ends after {end.lines} line(s), and {HEAD} says that it has {noted.lines}: its end was "
        "changed, or is missing"
    )


def _check_line(line: bytes, previous: str, where: str) -> None:
    try:
        said = json.loads(line)
    except ValueError:
        raise BrokenLogError(f"{where} is no line of a log: it was changed, or cut") from None
    if not isinstance(said, dict) or said.get("previous") != previous:
        raise BrokenLogError(
            f"{where} does not follow the line before it: that one was changed, or lines between them are missing"
        )


def _noted(folder: Path) -> End:
    """Read where the log should end."""
    try:
        return End(**json.loads((folder / HEAD).read_bytes()))
    except FileNotFoundError:
        return End(0, BEGIN, 1)
    except (ValueError, TypeError):
        raise BrokenLogError(f"{folder}: {HEAD} does not say where the log ends: it was changed") from None


def _file(folder: Path, number: int) -> Path:
    return folder / f"audit-{number:06d}.jsonl"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
