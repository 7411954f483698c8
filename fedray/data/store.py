"""The tile store: a directory of memory-mapped Arrow tiles that is whole or absent, named by its content."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedray.data.digests import PixelCheck, codes_digest
from fedray.errors import UserError
from fedray.storage import DamagedError, unsealed

FORMAT_VERSION = 2
"""Version of the directory's layout that is written: 2 has clients, and says what a group is."""

READABLE_VERSIONS = (1, 2)
"""Versions that :meth:`TileStore.open` reads; in one of version 1, no tile has a client and groups are patients."""

TILES_FILE = "tiles.arrow"
METADATA_FILE = "store.json"

_KEYS = (
    "name",
    "source",
    "fingerprint",
    "num_bytes",
    "batch_rows",
    "tile_size",
    "channels",
    "label_names",
    "domain_names",
)
_KEYS_SINCE_2 = ("client_names", "group_kind")

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
"""Names of the splits; the file holds their codes."""

GroupKind = Literal["patient", "region"]
GROUP_KINDS: tuple[GroupKind, ...] = ("patient", "region")
"""What the groups of a store are: 'patient' (or slide), which no partition spreads over clients unless it is told to,
or 'region' of a picture of one patient. A split separates neither."""

Names = Literal["pseudonyms", "plain"]
"""What the names of groups and sources are: keyed hashes (:mod:`fedray.data.pseudonyms`), or as they were given."""


class StoreError(UserError, ValueError):
    """A tile store cannot be opened or written. The message names the path, the rule and the remedy."""


class Tile(NamedTuple):
    """One tile on its way into a store."""

    image: NDArray[np.uint8]
    """Pixels, uint8 [H, W, 3], RGB in [0, 255]."""
    label: int
    """Code of the label, an index into ``label_names``."""
    domain: int
    """Code of the scanner or site, an index into ``domain_names``."""
    group: str
    """Name of the patient, slide or region; a split never separates a group."""
    split: str
    """'train' or 'test'."""
    source: str
    """Where the tile comes from: a file name, or a place in a picture."""
    client: str = ""
    """Name of the client that has the tile, for the partition 'client'; unset: nobody said."""


class TileStore:
    """Labelled tiles on disk, read through a memory map.

    ``tiles.arrow`` is an uncompressed Arrow IPC file of record batches of ``batch_rows`` tiles each (the last one may
    be shorter); ``store.json`` holds the names. Opening maps the file and reads the codes, no pixel. A store pickles as
    its path, so a worker process that receives one maps the same pages again.

    Attributes:
        path: The directory.
        name: Name for people, such as 'colon-32'.
        source: Where the pictures come from, for people.
        fingerprint: Hash of pixels, codes and names, 32 hexadecimal digits; independent of path, name and source.
        tile_size: Edge of a tile in pixels.
        channels: Channels of a tile, 3.
        label_names: Name of each label code.
        domain_names: Name of each domain code.
        labels: Label codes, int64 [N].
        domains: Domain codes, int64 [N].
        groups: Group codes, int64 [N].
        group_kind: What a group is, 'patient' (or slide) or 'region'.
        names: What the names of groups and sources are, 'pseudonyms' or 'plain'.
        client_names: Name of each client code; empty where no tile names one.
        clients: Client codes, int64 [N]; -1 where a tile names none.
        origin: What made the tiles, where they are synthetic; empty of others.
    """

    def __init__(self, path: Path, metadata: dict[str, Any], batches: list[Any]) -> None:
        """Take what :meth:`open` has read; use :meth:`open`."""
        self.path = path
        self.name: str = metadata["name"]
        self.source: str = metadata["source"]
        self.fingerprint: str = metadata["fingerprint"]
        self.tile_size: int = metadata["tile_size"]
        self.channels: int = metadata["channels"]
        self.label_names: tuple[str, ...] = tuple(metadata["label_names"])
        self.domain_names: tuple[str, ...] = tuple(metadata["domain_names"])
        self._batches = batches
        self._batch_rows: int = metadata["batch_rows"]
        self._images: list[NDArray[np.uint8]] = [batch.column("image").to_numpy_ndarray() for batch in batches]
        self.labels = self._codes("label")
        self.domains = self._codes("domain")
        self.groups = self._codes("group")
        self.group_kind: GroupKind = metadata["group_kind"]
        self.names: Names = metadata.get("names", "plain")
        self.client_names: tuple[str, ...] = tuple(metadata["client_names"])
        self.clients = self._codes("client") if self.client_names else np.full(len(self.labels), -1, np.int64)
        self._split_codes = self._codes("split")
        self.origin: Mapping[str, Any] = metadata.get("origin", {})
        digests = metadata.get("digests")  # none where a FedRay before there were any wrote it
        self._check = PixelCheck(digests, self._batch_rows) if digests else None
        self._make_again: Callable[[], TileStore] | None = None

    @classmethod
    def open(cls, path: str | Path) -> "TileStore":
        """Map a store into memory.

        Raises:
            StoreError: The directory is missing, is no tile store, has another format version, or is damaged.
        """
        path = Path(path).expanduser().resolve()
        metadata = _read_metadata(path)
        tiles = path / TILES_FILE
        size = tiles.stat().st_size if tiles.is_file() else 0
        if size != metadata["num_bytes"]:
            raise StoreError(
                f"the tile store {path} is damaged: {TILES_FILE} must have {metadata['num_bytes']} bytes, but has "
                f"{size}; run jobs/prepare_data.py again"
            )
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(tiles)))
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            whole = "digests" not in metadata or codes_digest(batches) == metadata["digests"]["codes"]
            store = cls(path, metadata, batches)
        # what Arrow makes of a damaged schema is whatever that says
        except (pa.ArrowException, OSError, AttributeError, ValueError, LookupError, TypeError) as error:
            raise StoreError(f"the tile store {path} is damaged ({error}); run jobs/prepare_data.py again") from None
        if not whole:
            raise StoreError(
                f"the tile store {path} is damaged: labels, groups or names in {TILES_FILE} are not what was written; "
                "run jobs/prepare_data.py again"
            )
        return store

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.labels)

    def __repr__(self) -> str:
        """Say name, size and fingerprint."""
        return f"TileStore({self.name!r}, {len(self)} tiles of {self.tile_size} px, {self.fingerprint})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path."""
        return TileStore.open, (str(self.path),)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """Split of every tile, strings [N], 'train' or 'test'."""
        return np.asarray(SPLITS)[self._split_codes]

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """Name of each group code (patient, slide or region)."""
        _, first = np.unique(self.groups, return_index=True)
        return tuple(self._strings("group_name", first))

    def indices(self, split: str) -> NDArray[np.int64]:
        """Return the store indices of a split, int64, ascending.

        Raises:
            ValueError: ``split`` is neither 'train' nor 'test'.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be 'train' or 'test', but got {split!r}")
        return np.flatnonzero(self._split_codes == SPLITS.index(split))

    def tiles(self, indices: Any) -> NDArray[np.uint8]:
        """Return tiles as uint8 [n, H, W, C], RGB in [0, 255].

        Args:
            indices: Store indices in any order, repeats allowed: integers [n], or a slice.

        Returns:
            A read-only view of the mapped file where the indices are consecutive within one record batch, else a copy.

        Raises:
            StoreError: Pixels among them are not what was written.
            IndexError: An index is outside [0, N).
            TypeError: The indices are no integers.
        """
        if isinstance(indices, slice):
            indices = np.arange(len(self))[indices]
        indices = np.asarray(indices)
        if len(indices) == 0:
            return np.empty((0, self.tile_size, self.tile_size, self.channels), np.uint8)
        if indices.dtype.kind not in "iu":  # a mask would silently read tiles 0 and 1
            raise TypeError(f"tile indices must be integers, but are {indices.dtype}")
        if indices.min() < 0 or indices.max() >= len(self):
            raise IndexError(f"tile indices must be in [0, {len(self)}), but got {indices.min()} to {indices.max()}")
        batch, row = np.divmod(indices, self._batch_rows)
        if batch[0] == batch[-1] and np.all(np.diff(indices) == 1):
            self._check_pixels(int(batch[0]), row)
            view: NDArray[np.uint8] = self._images[batch[0]][row[0] : row[-1] + 1]
            return view
        gathered = np.empty((len(indices), self.tile_size, self.tile_size, self.channels), np.uint8)
        for number in np.unique(batch):
            here = np.flatnonzero(batch == number)
            self._check_pixels(int(number), row[here])
            gathered[here] = self._images[number][row[here]]
        return gathered

    def made_again_by(self, make: Callable[[], "TileStore"]) -> "TileStore":
        """Have pixels that turn out to be damaged made again, once, by a function; returns this store.

        Args:
            make: Returns the same store, whole: of a cache, which can be filled again.
        """
        self._make_again = make
        return self

    def check_pixels(self) -> None:
        """Compare all pixels with what was written, which reads the whole file; reading tiles compares theirs.

        Raises:
            StoreError: They are not what was written.
        """
        for number, images in enumerate(self._images):
            self._check_pixels(number, np.arange(len(images)))

    def _check_pixels(self, number: int, rows: NDArray[np.int64]) -> None:
        if self._check is None or (found := self._check.damaged(self._images[number], number, rows)) is None:
            return
        if self._make_again is not None:
            make, self._make_again = self._make_again, None
            self._read_from(make())
            self._check_pixels(number, rows)
            return
        first, last = (number * self._batch_rows + row for row in found)
        raise StoreError(
            f"the tile store {self.path} is damaged: the pixels of tiles {first} to {last} are not what was written; "
            "run jobs/prepare_data.py again, or, if it is in FedRay's cache, delete it there and go on"
        )

    def _read_from(self, other: "TileStore") -> None:
        """Map another copy's file in the place of this one's."""
        if (other.fingerprint, other._batch_rows) != (self.fingerprint, self._batch_rows):
            raise StoreError(
                f"the tile store {self.path} was damaged, and is another one now that it was made again "
                f"({other.fingerprint}, not {self.fingerprint}); start again"
            )
        self._batches, self._images, self._check = other._batches, other._images, other._check

    def sources(self, indices: Any) -> list[str]:
        """Return where tiles come from (file names, or places in a picture), in the order of ``indices``."""
        return self._strings("source", np.asarray(indices, dtype=np.int64))

    def _codes(self, column: str) -> NDArray[np.int64]:
        arrays = [batch.column(column).to_numpy() for batch in self._batches]
        codes: NDArray[np.int64] = np.concatenate([np.empty(0, np.int64), *arrays])
        codes.flags.writeable = False
        return codes

    def _strings(self, column: str, indices: NDArray[np.int64]) -> list[str]:
        batch, row = np.divmod(indices, self._batch_rows)
        return [self._batches[b].column(column)[int(r)].as_py() for b, r in zip(batch, row, strict=True)]


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read ``store.json`` and check that this version of FedRay can read the store."""
    if not path.exists():
        raise StoreError(f"there is no tile store at {path}; make one with jobs/prepare_data.py")
    try:
        content = (path / METADATA_FILE).read_bytes()
        version = json.loads(content)["format_version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(
            f"{path} is not a tile store (no valid {METADATA_FILE} in it); make one with jobs/prepare_data.py"
        ) from None
    if version not in READABLE_VERSIONS:
        raise StoreError(
            f"the tile store {path} has format version {version}, but this FedRay reads the versions "
            f"{' and '.join(map(str, READABLE_VERSIONS))}; run jobs/prepare_data.py again"
        )
    try:
        metadata = unsealed(content, path / METADATA_FILE)
    except DamagedError:
        raise StoreError(
            f"the tile store {path} is damaged: {METADATA_FILE} is not what was written; run jobs/prepare_data.py again"
        ) from None
    if version == 1:
        metadata |= {"client_names": [], "group_kind": "patient"}
    missing = [key for key in (*_KEYS, *_KEYS_SINCE_2) if key not in metadata]
    if missing:
        raise StoreError(
            f"the tile store {path} is damaged ({missing} not in {METADATA_FILE}); run jobs/prepare_data.py again"
        )
    return dict(metadata)
