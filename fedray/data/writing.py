"""Writing a tile store: a stream of tiles in, bounded memory, and a directory that appears whole or not at all."""

import contextlib
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fedray.data.digests import ContentDigests
from fedray.data.store import (
    FORMAT_VERSION,
    GROUP_KINDS,
    METADATA_FILE,
    SPLITS,
    TILES_FILE,
    GroupKind,
    Names,
    StoreError,
    Tile,
    TileStore,
)
from fedray.storage import FolderLock, InUseError, is_foreign, sealed, write_whole
from fedray.storage.lock import LOCK
from fedray.storage.owners import remove_all
from fedray.storage.whole import put_back, put_in_place

BATCH_BYTES = 16 * 2**20
"""Pixels of one record batch; the writer holds about three times as much."""


def write_store(
    path: str | Path,
    tiles: Iterable[Tile],
    *,
    label_names: Sequence[str],
    domain_names: Sequence[str] = ("default",),
    name: str | None = None,
    source: str = "",
    group_kind: GroupKind = "patient",
    names: Names = "plain",
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    batch_rows: int | None = None,
) -> TileStore:
    """Write a stream of tiles as a store.

    The store is built in a hidden sibling (``.NAME.partial``), synced, and renamed. An exception or Ctrl-C removes the
    sibling; what a killed process left is removed by the next writer of the same store.

    Args:
        path: The directory to make.
        tiles: Tiles of one size, uint8 [H, H, 3]; consumed once, a batch at a time.
        label_names: Name of each label code.
        domain_names: Name of each domain code.
        name: Name for people; the directory's name where it is unset.
        source: Where the pictures come from, for people.
        group_kind: What a group is: 'patient' (or slide), or 'region' of a picture of one patient.
        names: What the names of the tiles' groups and sources are: 'pseudonyms', or 'plain' ones.
        origin: Of tiles that were made: by what, as JSON has it.
        overwrite: Replace a store that is there already, once the new one is complete.
        batch_rows: Tiles per record batch; unset: as many as fit 16 MiB.

    Raises:
        StoreError: The path exists already, another process writes it, there is no tile, or tiles differ in size.
    """
    path = Path(path).expanduser().resolve()
    check_target(path, overwrite)
    assert group_kind in GROUP_KINDS, group_kind
    with partial_directory(path) as partial:
        metadata = _write_tiles(partial / TILES_FILE, iter(tiles), batch_rows, [*label_names], [*domain_names], names)
        metadata |= {"name": name or path.name, "source": source, "group_kind": group_kind, "names": names}
        if origin is not None:
            metadata["origin"] = dict(origin)
        write_whole(partial / METADATA_FILE, sealed(metadata))
        for written in (partial / TILES_FILE, partial / METADATA_FILE, partial):
            _sync(written)
        _move_into_place(partial, path, overwrite)
    return TileStore.open(path)


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse a path that is taken; only a store is ever overwritten, and only one that holds nothing else.

    Raises:
        StoreError: Something is there, and it may not be replaced.
    """
    if not path.exists():
        return
    if not overwrite:
        raise StoreError(f"the output {path} exists already; choose another path, or replace it with --overwrite")
    if not (path / METADATA_FILE).is_file():
        raise StoreError(
            f"the output {path} exists and is not a tile store, so it is not overwritten; choose another path"
        )
    # What replaces a store removes its whole folder, and with it pictures that somebody keeps there.
    if others := sorted(entry.name for entry in path.iterdir() if not _belongs_to_store(entry.name)):
        raise StoreError(
            f"the output {path} holds {others[0]!r} beside its store, which --overwrite would delete; move it "
            "elsewhere, or choose another path"
        )


def _belongs_to_store(name: str) -> bool:
    return name in (METADATA_FILE, TILES_FILE, LOCK) or is_foreign(name)  # systems put theirs anywhere


def content_fingerprint(store: TileStore) -> str:
    """Compute a store's fingerprint from its tiles: what ``store.fingerprint`` must be where nothing was damaged."""
    shape = (store.tile_size, store.tile_size, store.channels)
    fingerprint = _Fingerprint(shape, [*store.label_names], [*store.domain_names])
    step = max(1, BATCH_BYTES // math.prod(shape))
    for start in range(0, len(store), step):
        fingerprint.add_pixels(store.tiles(slice(start, start + step)))
    names, groups = store.group_names, store.groups.tolist()
    clients = [store.client_names[code] if code >= 0 else "" for code in store.clients.tolist()]
    codes = zip(store.labels.tolist(), store.domains.tolist(), groups, store.splits.tolist(), clients, strict=True)
    for label, domain, group, split, client in codes:
        fingerprint.add_codes(label, domain, _hashed_group(names[group], group, store.names), split, client)
    return fingerprint.hexdigest()


class _Fingerprint:
    """Hash of pixels, codes and names: the same however the tiles were cut into batches."""

    def __init__(self, shape: tuple[int, ...], label_names: list[str], domain_names: list[str]) -> None:
        self._pixels = hashlib.blake2b(digest_size=16)
        self._codes = hashlib.blake2b(repr((shape, label_names, domain_names)).encode(), digest_size=16)

    def add_pixels(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._pixels.update(images.data)

    def add_codes(self, label: int, domain: int, group: str, split: str, client: str) -> None:
        # Only a client that is named: the fingerprints of stores that were written before there were clients hold.
        named = (client,) if client else ()
        self._codes.update(repr((label, domain, group, split, *named)).encode())

    def hexdigest(self) -> str:
        return hashlib.blake2b(self._pixels.digest() + self._codes.digest(), digest_size=16).hexdigest()


def _write_tiles(
    file: Path,
    tiles: Iterator[Tile],
    batch_rows: int | None,
    label_names: list[str],
    domain_names: list[str],
    names: Names,
) -> dict[str, Any]:
    """Write ``tiles.arrow`` and return the metadata that follow from its content."""
    first = next(tiles, None)
    if first is None:
        raise StoreError("a tile store needs at least 1 tile, but got none")
    shape = first.image.shape
    assert shape[0] == shape[1] and shape[2] == 3, f"tiles must be square RGB, but got shape {shape}"
    rows = batch_rows or max(1, BATCH_BYTES // first.image.size)
    fingerprint, digests = _Fingerprint(shape, label_names, domain_names), ContentDigests(first.image.size)
    group_codes: dict[str, int] = {}
    client_codes: dict[str, int] = {}
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, _schema(shape)) as writer:
        for batch in _batches(chain([first], tiles), rows):
            images = _stack(batch, shape)
            fingerprint.add_pixels(images)
            for tile in batch:
                assert 0 <= tile.label < len(label_names) and 0 <= tile.domain < len(domain_names)
                group = _hashed_group(tile.group, group_codes.setdefault(tile.group, len(group_codes)), names)
                fingerprint.add_codes(tile.label, tile.domain, group, tile.split, tile.client)
            record_batch = _record_batch(images, batch, group_codes, client_codes)
            digests.add(images, record_batch)
            writer.write_batch(record_batch)
    return {
        "format_version": FORMAT_VERSION,
        "fingerprint": fingerprint.hexdigest(),
        "num_bytes": file.stat().st_size,
        "batch_rows": rows,
        "tile_size": shape[0],
        "channels": shape[2],
        "label_names": label_names,
        "domain_names": domain_names,
        "client_names": [*client_codes],
        "digests": digests.as_json(),
    }


def _hashed_group(name: str, code: int, names: Names) -> str:
    """Name a group as the fingerprint has it: of pseudonyms its code, so that the key makes no difference."""
    return name if names == "plain" else str(code)


def _batches(tiles: Iterator[Tile], rows: int) -> Iterator[list[Tile]]:
    while batch := list(islice(tiles, rows)):
        yield batch


def _schema(shape: tuple[int, ...]) -> Any:
    codes = [pa.field(column, pa.int64()) for column in ("label", "domain", "group", "split", "client")]
    strings = [pa.field(column, pa.string()) for column in ("group_name", "source")]
    return pa.schema([pa.field("image", pa.fixed_shape_tensor(pa.uint8(), shape)), *codes, *strings])


def _stack(batch: Sequence[Tile], shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    for tile in batch:
        if tile.image.shape != shape or tile.image.dtype != np.uint8:
            raise StoreError(
                f"all tiles of a store must be uint8 of one shape {shape}, but {tile.source} is "
                f"{tile.image.dtype} {tile.image.shape}"
            )
    return np.stack([tile.image for tile in batch])


def _record_batch(
    images: np.ndarray[Any, Any], batch: Sequence[Tile], group_codes: dict[str, int], client_codes: dict[str, int]
) -> Any:
    """Build one record batch; the codes grow in the order in which groups and clients appear."""
    groups = [group_codes.setdefault(tile.group, len(group_codes)) for tile in batch]
    clients = [client_codes.setdefault(tile.client, len(client_codes)) if tile.client else -1 for tile in batch]
    columns = [
        pa.array([tile.label for tile in batch], pa.int64()),
        pa.array([tile.domain for tile in batch], pa.int64()),
        pa.array(groups, pa.int64()),
        pa.array([SPLITS.index(tile.split) for tile in batch], pa.int64()),
        pa.array(clients, pa.int64()),
        pa.array([tile.group for tile in batch], pa.string()),
        pa.array([tile.source for tile in batch], pa.string()),
    ]
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    return pa.record_batch([tensor, *columns], schema=_schema(images.shape[1:]))


@contextlib.contextmanager
def partial_directory(path: Path) -> Iterator[Path]:
    """Yield an empty hidden sibling of ``path``, locked by this process; remove it unless it was moved into place.

    Raises:
        StoreError: Another process writes the same path; the message says which.
    """
    partial = path.with_name(f".{path.name}.partial")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FolderLock(partial, path, make=_make).held())
        except InUseError as error:
            raise StoreError(f"another process is writing {path}: {error}") from None
        put_back(path)
        for stale in partial.iterdir():
            if stale.name != LOCK:
                remove_all(stale)
        try:
            yield partial
        except BaseException:  # Ctrl-C included: nothing half-written stays
            remove_all(partial)
            raise
        if not partial.exists():
            (path / LOCK).unlink(missing_ok=True)  # only now: until it was in place, no other process might clear it


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _move_into_place(partial: Path, path: Path, overwrite: bool) -> None:
    check_target(path, overwrite)
    put_in_place(partial, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Flush a file or directory to the disk, so that a power cut cannot leave an empty store under the final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
