"""Tile stores on shared storage: fetched once a node into the cache, under a lock, and checked by fingerprint."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from fedray.data.store import METADATA_FILE, TILES_FILE, StoreError, TileStore
from fedray.data.writing import content_fingerprint
from fedray.storage import AddressLock, SharedFolder, StorageError, whole_folder

CHECKED_BYTES = 128 * 2**20
"""Largest copy in the cache that is read and compared whole before a job starts, a tenth of a second."""

_DAMAGED = "the tile store %s in the cache is damaged, and is made again"

_log = logging.getLogger(__name__)


def fetch_store(uri: str, cache: Path) -> TileStore:
    """Open a store on shared storage: its copy on this node, made by the first process that asks.

    Args:
        uri: Of the store's folder, such as ``s3://bucket/stores/colon-64``.
        cache: Folder of the copies. A copy is named by its fingerprint, so a store that was replaced is fetched anew.

    Raises:
        StoreError: There is no store, the storage does not answer, or what arrived is not what the fingerprint says.
    """
    try:
        shared = SharedFolder(uri)
        described = shared.read(METADATA_FILE)
        if described is None:
            raise StoreError(
                f"there is no tile store at {uri} (no {METADATA_FILE}); jobs/prepare_data.py --upload {uri} makes one"
            )
        copy = cache / _fingerprint(described, uri)
        return copy_or_make(copy, lambda: _fetch(shared, copy))
    except StorageError as error:
        raise StoreError(str(error)) from None


def copy_or_make(copy: Path, make: Callable[[], TileStore]) -> TileStore:
    """Open a copy in the cache; where it is missing, or damaged, one process makes it and the others wait for that one.

    The pixels of a large one are compared when they are read (see :meth:`TileStore.tiles`), and made again then.
    """
    return _copy(copy, make).made_again_by(lambda: _make_again(copy, make))


def _copy(copy: Path, make: Callable[[], TileStore]) -> TileStore:
    if (found := _whole(copy)) is not None:  # one that was filled before may be read-only now
        return found
    copy.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{copy}.lock"):
        if (found := _whole(copy)) is not None:
            return found
        if copy.exists():
            _log.warning(_DAMAGED, copy)
        return make()


def _make_again(copy: Path, make: Callable[[], TileStore]) -> TileStore:
    """Make a copy again whose pixels are damaged, unless another process was faster."""
    with FileLock(f"{copy}.lock"):
        try:
            store = TileStore.open(copy)
            store.check_pixels()
        except StoreError:
            _log.warning(_DAMAGED, copy)
            return make()
        return store


def _whole(copy: Path) -> TileStore | None:
    try:
        store = TileStore.open(copy)
        if (copy / TILES_FILE).stat().st_size <= CHECKED_BYTES:
            store.check_pixels()
    except StoreError:
        return None
    return store


def upload_store(store: TileStore, uri: str) -> None:
    """Copy a store to shared storage. ``store.json`` goes last: until it is there, there is no store.

    Raises:
        InUseError: Another process uploads to the same place.
        StoreError: The storage does not answer, or refuses.
    """
    try:
        shared = SharedFolder(uri)
        with AddressLock(shared).held():
            shared.upload(store.path, [TILES_FILE, METADATA_FILE])
    except StorageError as error:
        raise StoreError(str(error)) from None


def check_shared_target(uri: str, overwrite: bool) -> None:
    """Refuse a place on shared storage that cannot be used, or is taken.

    Raises:
        StoreError: There is a store, and it may not be replaced; or the storage does not answer.
    """
    try:
        taken = SharedFolder(uri).read(METADATA_FILE) is not None
    except StorageError as error:
        raise StoreError(str(error)) from None
    if taken and not overwrite:
        raise StoreError(
            f"there is a tile store at {uri} already; choose another place, or replace it with --overwrite"
        )


def _fingerprint(described: bytes, uri: str) -> str:
    try:
        fingerprint = json.loads(described)["fingerprint"]
        int(fingerprint, 16)  # it becomes a folder's name
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"the tile store {uri} is damaged (no fingerprint in its {METADATA_FILE})") from None
    return str(fingerprint)


def _fetch(shared: SharedFolder, copy: Path) -> TileStore:
    """Copy the store beside its place, check it, and move it there: it is whole or absent."""
    with whole_folder(copy) as partial:
        shared.download([METADATA_FILE, TILES_FILE], partial)
        try:
            store = TileStore.open(partial)
            found = content_fingerprint(store)
        except StoreError as error:
            why = str(error).replace(str(partial), shared.uri).partition("; ")[0]
            raise StoreError(f"{why}; upload it again") from None
        if store.fingerprint != copy.name:
            raise StoreError(
                f"the tile store {shared.uri} is another one now ({store.fingerprint}, not {copy.name}): somebody "
                "replaced it meanwhile; start again"
            )
        if found != store.fingerprint:
            raise StoreError(
                f"the tile store {shared.uri} is damaged: its tiles have the fingerprint {found}, but {METADATA_FILE} "
                f"says {store.fingerprint}; upload it again"
            )
    return TileStore.open(copy)
