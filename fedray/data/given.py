"""Tiles from anywhere, in the terms of a store that they are held against: another store, or pictures by label."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedray.config import DataConfig, nearest_name
from fedray.data.catalog import DATASETS, open_store
from fedray.data.decoding import DecodedTile, DecodeError, decode_all
from fedray.data.decoding.decode import square
from fedray.data.importing.contents import describe_reasons, list_contents
from fedray.data.importing.outside import paths_outside
from fedray.data.store import METADATA_FILE, StoreError, TileStore
from fedray.storage import is_uri

Indices = NDArray[np.int64]
Tiles = NDArray[np.uint8]

_LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif"}
_SHOWN = 4  # names in a message


@dataclass(frozen=True)
class GivenTiles:
    """Tiles that somebody brings; their pixels are read when they are asked for.

    Attributes:
        labels: int64 [N], codes of the labels of the store that they are held against.
        read: Reads those at some positions, int64 [n]: uint8 [n, H, W, C] in [0, 255], H and W as in that store.
            It raises StoreError for a picture of another size, and DecodeError for one that cannot be read.
        notes: What the user should know of them, a sentence each.
    """

    labels: NDArray[np.int64]
    read: Callable[[Indices], Tiles]
    notes: tuple[str, ...] = ()


def given_tiles(place: str, like: TileStore, split: str | None = None, *, resize: bool = False) -> GivenTiles:
    """Find tiles: of a store, by its path, address or name, or of a folder with one folder of pictures a label.

    Args:
        place: Where they are.
        like: The store that they are held against: its labels, size and colours must be theirs.
        split: Of a store, which tiles: 'train' or 'test'; unset: all.
        resize: Whether tiles of another size are made to fit: the largest central square, antialiased, as an import
            does it.

    Raises:
        StoreError: There are none, a label is none of the store's, or they are of another size and not to be resized.
    """
    if is_uri(place) or place in DATASETS or (Path(place).expanduser() / METADATA_FILE).is_file():
        return _of_store(open_store(DataConfig(store=place)), place, like, split, resize)
    if split is not None:
        raise StoreError(
            f"a folder of pictures has no split {split!r}, but {place} is one; name the folder of the split"
        )
    return _of_folder(place, like, resize)


def _of_store(store: TileStore, place: str, like: TileStore, split: str | None, resize: bool) -> GivenTiles:
    indices = np.arange(len(store)) if split is None else store.indices(split)
    if len(indices) == 0:
        raise StoreError(f"{place} has no tile{f' in its split {split!r}' if split else ''}")
    names = np.asarray(store.label_names, dtype=object)[store.labels[indices]].tolist()
    if store.tile_size != like.tile_size and not resize:
        raise StoreError(f"the tiles of {place} have {store.tile_size} px, but {_other_size(like)}")

    def read(chosen: Indices) -> Tiles:
        tiles = store.tiles(indices[chosen])
        if store.tile_size == like.tile_size:
            return tiles
        return np.stack([np.asarray(square(Image.fromarray(tile), like.tile_size)) for tile in tiles])

    same = store.fingerprint == like.fingerprint
    own = "they are tiles of the very store that they are held against: the same real tile may be on both sides"
    return GivenTiles(_codes(names, place, like), read, (own,) if same else ())


def _of_folder(place: str, like: TileStore, resize: bool) -> GivenTiles:
    contents = list_contents(place)
    paths = [path for path in contents.images if len(path.parts) > 1]
    if not paths:
        found = f"{len(contents.images)} picture(s) outside such folders" if contents.images else "no picture"
        reasons = f" ({describe_reasons(contents.left_out)})" if contents.left_out and not contents.images else ""
        raise StoreError(
            f"{place} must hold one folder of pictures a label, named {', '.join(map(repr, like.label_names))} as in "
            f"{like.name}, or be a tile store, but holds {found}{reasons}"
        )
    files = [contents.root / path for path in paths]
    if outside := list(paths_outside(files, [contents.root])):
        raise StoreError(
            f"{len(outside)} of {len(files)} pictures of {place} lie outside it, where links lead, first {outside[0]}; "
            "copy them there, or name the folder that they are in"
        )

    def read(chosen: Indices) -> Tiles:
        return _decoded([files[position] for position in chosen], like, resize)

    return GivenTiles(
        _codes([path.parts[0] for path in paths], place, like), read, tuple(_notes(files, contents.images))
    )


def _codes(names: Sequence[str], place: str, like: TileStore) -> NDArray[np.int64]:
    known = {name: code for code, name in enumerate(like.label_names)}
    if unknown := sorted(set(names) - set(known)):
        shown = ", ".join(map(repr, unknown[:_SHOWN])) + (
            f" and {len(unknown) - _SHOWN} more" if unknown[_SHOWN:] else ""
        )
        raise StoreError(
            f"{place} has tiles of {shown}, but the labels of {like.name} are {', '.join(map(repr, known))}; give them "
            f"the same names{nearest_name(unknown[0], known)}"
        )
    return np.array([known[name] for name in names], np.int64)


def _decoded(files: Sequence[Path], like: TileStore, resize: bool) -> Tiles:
    tiles: list[DecodedTile] = []
    for file, tile in zip(files, decode_all(files, like.tile_size), strict=True):
        if isinstance(tile, DecodeError):
            raise tile
        if {tile.width, tile.height} != {like.tile_size} and not resize:
            raise StoreError(f"{file} has {tile.width} x {tile.height} px, but {_other_size(like)}")
        tiles.append(tile)
    if not any(tile.colored for tile in tiles) and _is_coloured(like):
        raise StoreError(
            f"the pictures are grey, {files[0]} and all others that are compared, but the tiles of {like.name} are "
            "coloured; save them in colour, or compare with a store of grey tiles"
        )
    return np.stack([tile.pixels for tile in tiles])


def _is_coloured(store: TileStore) -> bool:
    some = store.tiles(np.unique(np.linspace(0, len(store) - 1, 64).astype(np.int64)))
    return bool((some != some[..., :1]).any())


def _other_size(like: TileStore) -> str:
    return (
        f"those of {like.name} have {like.tile_size}; bring tiles of that size, or have these cut square and resized "
        "by --resize, which moves scores"
    )


def _notes(files: Sequence[Path], images: Sequence[object]) -> Iterable[str]:
    if outside := len(images) - len(files):
        yield f"{outside} picture(s) outside the label folders are left out"
    if lossy := sum(file.suffix.lower() in _LOSSY for file in files):
        yield f"{lossy} of {len(files)} pictures are JPEG files, whose artefacts scores see; save tiles as PNG"
