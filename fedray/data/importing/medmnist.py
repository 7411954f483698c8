"""MedMNIST: a file of arrays (.npz) with its own three splits, read a picture at a time."""

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fedray.data.decoding import DecodedTile, tile_of_array
from fedray.data.importing.images import LeftOut, ListedImage, Listing
from fedray.data.importing.splits import LEFT_OUT_VALIDATION, ValidationChoice, settle_split, split_named
from fedray.data.store import StoreError

_SPLITS = ("train", "val", "test")


def list_medmnist(file: str | Path, validation: ValidationChoice | None = None) -> Listing:
    """List the pictures of a MedMNIST file: ``SPLIT_images`` [N, H, W] or [N, H, W, 3], ``SPLIT_labels`` [N, 1].

    A label's name is its number. The sources are ``SPLIT/INDEX``, in the file's order.

    Args:
        file: The file, such as ``pathmnist.npz``.
        validation: What becomes of the validation split; unset: it joins the training split.

    Raises:
        StoreError: The file is none of MedMNIST's, or its pictures are volumes or have several labels each.
    """
    file = Path(file).expanduser()
    choice = validation or "train"
    images: list[ListedImage] = []
    left_out: list[LeftOut] = []
    counts = {}
    for split in _SPLITS:
        labels = _labels(file, split)
        counts[split] = len(labels)
        found = split_named(split)
        assert found is not None
        settled = settle_split(found, choice, f"{file}: {split}")
        for index, label in enumerate(labels.tolist()):
            source = f"{split}/{index}"
            if settled is None:
                left_out.append(LeftOut(source, LEFT_OUT_VALIDATION))
            else:
                images.append(ListedImage(file, source, str(label), split=settled))
    fate = {"train": "joined train", "test": "joined test", "leave-out": "were left out"}[choice]
    notes = (
        f"the {counts['val']:,} pictures of {file.name}'s validation split {fate} (--val train, test or leave-out)",
        f"the labels are the numbers in {file.name}; --labels '0=NAME,1=NAME' names them",
    )
    return Listing(tuple(images), tuple(left_out), notes, (file.resolve().parent,))


def medmnist_tiles(images: Sequence[ListedImage], size: int) -> Iterator[DecodedTile]:
    """Make tiles of listed pictures, split by split as listed; one picture is in memory at a time."""
    wanted = {image.source for image in images}
    file = images[0].path
    for split in dict.fromkeys(image.source.partition("/")[0] for image in images):
        for index, picture in enumerate(_pictures(file, split)):
            if f"{split}/{index}" in wanted:
                yield tile_of_array(picture, size)


def _labels(file: Path, split: str) -> NDArray[np.int64]:
    """Read the labels of a split, int64 [N], and check that its pictures fit them."""
    with _member(file, f"{split}_labels") as (shape, dtype, content):
        if dtype.kind not in "iu" or not 1 <= len(shape) <= 2:
            raise StoreError(f"{file}: {split}_labels must be whole numbers [N, 1], but are {dtype} {list(shape)}")
        if len(shape) == 2 and shape[1] != 1:
            raise StoreError(
                f"{file} has {shape[1]} labels a picture ({split}_labels is {list(shape)}), but a tile has one; choose "
                "a data set with one, or export the pictures with one label of them in a table (--csv)"
            )
        labels = np.frombuffer(content.read(math.prod(shape) * dtype.itemsize), dtype).astype(np.int64)
    with _member(file, f"{split}_images") as (shape, dtype, _):
        if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            kind = "volumes" if len(shape) == 4 else "no pictures"
            raise StoreError(
                f"{file} holds {kind}: {split}_images must be uint8 [N, H, W] or [N, H, W, 3], but is {dtype} "
                f"{list(shape)}"
            )
        if shape[0] != len(labels):
            raise StoreError(f"{file} is damaged: {shape[0]} {split}_images, but {len(labels)} {split}_labels")
    return labels


def _pictures(file: Path, split: str) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures of a split, uint8 [H, W] or [H, W, 3]: a set of 224 px is larger than most memories."""
    with _member(file, f"{split}_images") as (shape, _, content):
        for _ in range(shape[0]):
            yield np.frombuffer(content.read(math.prod(shape[1:])), np.uint8).reshape(shape[1:])


@contextmanager
def _member(file: Path, name: str) -> Iterator[tuple[tuple[int, ...], np.dtype[Any], IO[bytes]]]:
    """Open an array of the file: its shape, its type, and its elements as bytes to read."""
    try:
        with zipfile.ZipFile(file) as archive:
            if f"{name}.npy" not in archive.namelist():
                held = ", ".join(repr(member.removesuffix(".npy")) for member in sorted(archive.namelist())[:10])
                raise StoreError(f"{file} is no file of MedMNIST: it must hold {name}, but holds {held or 'nothing'}")
            with archive.open(f"{name}.npy") as content:
                version = np.lib.format.read_magic(content)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, column_major, dtype = read(content)
                if column_major or dtype.hasobject:
                    raise StoreError(f"{file}: {name} must be plain numbers, picture after picture, but is {dtype}")
                yield shape, dtype, content
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"cannot read the MedMNIST file {file}: {error.strerror or error}") from None
    except Exception as error:
        # A damaged archive leads zipfile and NumPy to whatever: struct.error, NotImplementedError, zlib.error ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"cannot read the MedMNIST file {file}: {reason}; get it anew") from None
