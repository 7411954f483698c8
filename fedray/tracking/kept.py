"""What MLflow could not be told is kept beside the results, until the resume or ``jobs/sync.py`` sends it.

Below ``unsent/RUN/`` of the results' folder or address lies a JSON file for each delivery, and a folder of the same
name with its files. Nothing in it says where it is sent: whoever can write to the results could have logins sent there.
"""

import itertools
import logging
import posixpath
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedray.storage import LocalFolder, SharedFolder, StorageError, folder_at, inside, scratch_folder, sealed, unsealed
from fedray.tracking.deliveries import SENDERS, Delivery
from fedray.tracking.errors import TrackingError, brief, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

_logger = logging.getLogger(__name__)

UNSENT = "unsent"
"""Folder of the results."""

_numbers = itertools.count()


class Kept:
    """What is kept of one run."""

    def __init__(self, place: str, run_id: str, uri: str) -> None:
        """Name it; nothing is looked at yet.

        Args:
            place: Folder or address of the results.
            run_id: Of the run in MLflow.
            uri: Of MLflow.
        """
        self._place, self._run_id, self._uri = place, run_id, uri
        self._files: dict[str, list[str]] = {}

    def keep(self, delivery: Delivery) -> str:
        """Keep a delivery with its files; returns the name by which :meth:`drop` knows it.

        Raises:
            StorageError: The shared storage does not answer, or refuses.
            OSError: The disk takes nothing.
        """
        folder = folder_at(self._place)
        name = f"{UNSENT}/{self._run_id}/{time.time_ns() // 1_000_000:013d}-{next(_numbers):06d}"
        files = None if delivery.files is None else LocalFolder(delivery.files)
        names = [] if files is None else files.names()
        for inner in names:
            folder.write(f"{name}/{inner}", (files and files.read(inner)) or b"")
        record = {
            "run": self._run_id,
            "tracking": shown(self._uri),
            "what": delivery.what,
            "kind": delivery.kind,
            "content": delivery.content,
            "files": None if files is None else names,
        }
        folder.write(f"{name}.json", sealed(record))  # last: what it names is there
        self._files[name] = [f"{name}.json", *(f"{name}/{inner}" for inner in names)]
        return name

    def drop(self, name: str) -> None:
        """Remove what was sent; where that fails, it is sent once more, which does no harm."""
        try:
            folder_at(self._place).delete(self._files.pop(name))
        except (StorageError, OSError) as error:
            _logger.warning("%s stays in %s, though it was sent (%s)", name, self._place, error)


@dataclass(frozen=True)
class Sent:
    """What became of all that was kept in a place."""

    sent: tuple[str, ...] = ()
    """What MLflow has now, in words."""
    refused: tuple[str, ...] = ()
    """What it will never take, with the reason; it stays where it is."""


def is_kept(place: str) -> bool:
    """Say whether anything is kept below a folder or address of results.

    Raises:
        StorageError: The shared storage does not answer.
    """
    return next(_records(folder_at(place)), None) is not None


def send_kept(place: str, uri: str) -> Sent:
    """Send all that is kept below a folder or address of results, a study's steps' too; what is sent is removed.

    Args:
        place: The results.
        uri: Of MLflow: the one that the runs are in.

    Raises:
        TrackingError: MLflow went away meanwhile, or what is kept is for another one; what is left stays.
        StorageError: The shared storage does not answer, or what is kept was changed.
    """
    folder, sent, refused = folder_at(place), list[str](), list[str]()
    names = list(_records(folder))
    if not names:
        return Sent()
    from fedray.tracking.mlflow_client import connect

    client = connect(uri)
    for name in names:
        reason = _send(client, folder, name, uri, place, sent)
        if reason:
            refused.append(reason)
    return Sent(tuple(sent), tuple(refused))


def _send(
    client: "MlflowClient", folder: LocalFolder | SharedFolder, name: str, uri: str, place: str, sent: list[str]
) -> str:
    """Send one delivery and remove it; returns why MLflow will never take it, or nothing."""
    from fedray.tracking.mlflow_client import is_refusal

    with scratch_folder() as scratch:
        run_id, delivery, files = _read(folder, name, uri, place, scratch)
        told = f"{delivery.what} of run {run_id}"
        try:
            delivery.send(client, run_id)
        except Exception as error:  # MLflow, requests, SQLAlchemy and the object stores each raise their own
            if is_refusal(error):
                return f"{told}: {brief(error, uri)}"
            raise TrackingError(
                f"{shown(uri)} did not take {told} ({brief(error, uri)}); {len(sent)} deliveries were sent, the others "
                f"are kept in {place}/{UNSENT}, and go by the same command once it answers"
            ) from None
    folder.delete([name, *files])
    sent.append(told)
    return ""


def _read(
    folder: LocalFolder | SharedFolder, name: str, uri: str, place: str, scratch: Path
) -> tuple[str, Delivery, list[str]]:
    """Read a delivery, with a copy of its files; returns its run, itself, and the names of its files."""
    record = unsealed(folder.read(name) or b"{}", f"{place}/{name}")
    if record.get("kind") not in SENDERS:
        raise StorageError(f"{place}/{name} is nothing that FedRay keeps for MLflow; remove it")
    if record["tracking"] != shown(uri):
        raise TrackingError(
            f"what is kept in {place}/{UNSENT} is for MLflow at {record['tracking']}, not at {shown(uri)}; set "
            "MLFLOW_TRACKING_URI to that one, or remove it where nobody needs it"
        )
    stem, files = name.removesuffix(".json"), record["files"]
    for inner in files or ():
        inside(Path(place), f"{stem}/{inner}")
        path = inside(scratch, inner)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = folder.read(f"{stem}/{inner}")
        if content is None:
            raise StorageError(f"{place}/{stem}/{inner} is gone; remove {place}/{name} to send the rest")
        path.write_bytes(content)
    delivery = Delivery(record["what"], record["kind"], record["content"], None if files is None else scratch)
    return record["run"], delivery, [f"{stem}/{inner}" for inner in files or ()]


def _records(folder: LocalFolder | SharedFolder) -> Iterator[str]:
    """Yield the names of the deliveries below a folder, oldest first in each run."""
    for name in folder.names():
        parts = name.split("/")
        if posixpath.splitext(name)[1] == ".json" and len(parts) >= 3 and parts[-3] == UNSENT:
            yield name
