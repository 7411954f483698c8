"""Pictures of a few flat values, written into files of every kind."""

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from fedray.data.decoding import DecodedTile

SIZE = 48


def grey(*values: float, dtype: Any = np.uint8) -> NDArray[Any]:
    """A picture [48, 48] of vertical stripes, one a value."""
    return np.repeat(np.asarray(values, dtype), SIZE // len(values))[np.newaxis].repeat(SIZE, axis=0)


def color(*values: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:
    """A picture [48, 48, C] of vertical stripes, one a color."""
    return np.repeat(np.asarray(values, dtype), SIZE // len(values), axis=0)[np.newaxis].repeat(SIZE, axis=0)


def write_tiff(path: Path, values: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, values, metadata=None, **options)
    return path


def write_png(path: Path, values: NDArray[Any], significant: tuple[int, ...] = (), transparent: bytes = b"") -> Path:
    """Write a PNG file, with the chunks sBIT and tRNS where they are given."""
    data = imagecodecs.png_encode(values)
    at = data.index(b"IDAT") - 4
    chunks = [chunk(b"sBIT", bytes(significant))] * bool(significant) + [chunk(b"tRNS", transparent)] * bool(
        transparent
    )
    path.write_bytes(data[:at] + b"".join(chunks) + data[at:])
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def stripes(tile: DecodedTile) -> list[tuple[int, ...]]:
    """The colors of the tile's stripes, from the left; resizing is exact, as the tile has the picture's size."""
    row = tile.pixels[0]
    return [tuple(int(v) for v in row[0])] + [
        tuple(int(v) for v in row[x]) for x in range(1, SIZE) if not np.array_equal(row[x], row[x - 1])
    ]


def greys(*values: int) -> list[tuple[int, ...]]:
    return [(value,) * 3 for value in values]
