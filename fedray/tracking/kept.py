"""What MLflow could not be told is kept beside the results, until the resume or ``jobs/sync.py`` sends it.

Each delivery is one archive ``unsent/RUN/NUMBER.zip`` below the results' folder or address, with a record and the files
that go with it: it is whole or absent. Nothing in it decides where it is sent: whoever can write to the results could
have logins sent there.
"""

import itertools
import logging
import re
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from fedray.storage import (
    DamagedError,
    LocalFolder,
    SharedFolder,
    StorageError,
    digest,
    folder_at,
    inside,
    scratch_folder,
    sealed,
    unsealed,
)
from fedray.tracking.deliveries import SENDERS, Delivery
from fedray.tracking.errors import TrackingError, brief, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

_logger = logging.getLogger(__name__)

UNSENT = "unsent"
"""Folder of the results."""

_RECORD, _FILES = "record.json", "files/"
"""In an archive: what is sent, and the folder of files with it."""

_ARCHIVE = re.compile(rf"(?:.*/)?{UNSENT}/[0-9a-f]{{32}}/\d{{13}}-\d{{6}}\.zip")
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

    def keep(self, delivery: Delivery) -> str:
        """Keep a delivery with its files; returns the name by which :meth:`drop` knows it.

        Raises:
            StorageError: The shared storage does not answer, or refuses.
            OSError: The disk takes nothing.
        """
        name = f"{UNSENT}/{self._run_id}/{time.time_ns() // 1_000_000:013d}-{next(_numbers):06d}.zip"
        files = None if delivery.files is None else LocalFolder(delivery.files)
        contents = {} if files is None else {inner: files.read(inner) or b"" for inner in files.names()}
        record = {
            "run": self._run_id,
            "tracking": shown(self._uri),
            "what": delivery.what,
            "kind": delivery.kind,
            "content": delivery.content,
            "files": None if files is None else {inner: digest(content) for inner, content in contents.items()},
        }
        buffer = BytesIO()
        with ZipFile(buffer, "w") as archive:
            archive.writestr(_RECORD, sealed(record))
            for inner, content in contents.items():
                archive.writestr(f"{_FILES}{inner}", content)
        folder_at(self._place).write(name, buffer.getvalue())
        return name

    def drop(self, name: str) -> None:
        """Remove what was sent; where that fails, it is sent once more, which does no harm."""
        try:
            folder_at(self._place).delete([name])
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
    return bool(_archives(folder_at(place)))


def send_kept(place: str, uri: str) -> Sent:
    """Send all that is kept below a folder or address of results, a study's steps' too; what is sent is removed.

    Args:
        place: The results.
        uri: Of MLflow: the one that the runs are in.

    Raises:
        TrackingError: MLflow went away meanwhile, or what is kept is for another one; what is left stays.
        StorageError: The shared storage does not answer, or what is kept leads out of its folder.
        DamagedError: What is kept was changed.
    """
    folder, sent, refused = folder_at(place), list[str](), list[str]()
    if not (names := _archives(folder)):
        return Sent()
    from fedray.tracking.mlflow_client import connect

    client = connect(uri)
    for name in names:
        if reason := _send(client, folder, name, uri, place, sent):
            refused.append(reason)
    return Sent(tuple(sent), tuple(refused))


def _send(
    client: "MlflowClient", folder: LocalFolder | SharedFolder, name: str, uri: str, place: str, sent: list[str]
) -> str:
    """Send one delivery and remove it; returns why MLflow will never take it, or nothing."""
    from fedray.tracking.mlflow_client import is_refusal

    with scratch_folder() as scratch:
        run_id, delivery = _read(folder.read(name) or b"", f"{place}/{name}", uri, scratch)
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
    folder.delete([name])
    sent.append(told)
    return ""


def _read(content: bytes, path: str, uri: str, scratch: Path) -> tuple[str, Delivery]:
    """Read a delivery, and unpack its files into a folder; returns its run and itself."""
    try:
        archive = ZipFile(BytesIO(content))
        record = unsealed(archive.read(_RECORD), path)
        run_id, kind, files, tracking = (record[name] for name in ("run", "kind", "files", "tracking"))
    except (BadZipFile, KeyError, EOFError) as error:
        raise DamagedError.of(path, str(error)) from None
    if kind not in SENDERS:
        raise StorageError(f"{path} is nothing that FedRay keeps for MLflow; remove it")
    if tracking != shown(uri):
        raise TrackingError(
            f"what is kept in {path} is for MLflow at {tracking}, not at {shown(uri)}; set MLFLOW_TRACKING_URI to that "
            "one, or remove it where nobody needs it"
        )
    for inner, expected in (files or {}).items():
        inside(Path(path), inner)
        try:
            unpacked = archive.read(f"{_FILES}{inner}")
        except (BadZipFile, KeyError, EOFError):
            unpacked = b""
        if digest(unpacked) != expected:
            raise DamagedError.of(path, f"{inner} in it is not what was written")
        target = inside(scratch, inner)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(unpacked)
    return run_id, Delivery(record["what"], kind, record["content"], None if files is None else scratch)


def _archives(folder: LocalFolder | SharedFolder) -> list[str]:
    """List the deliveries below a folder, oldest first in each run."""
    return [name for name in folder.names() if _ARCHIVE.fullmatch(name)]
