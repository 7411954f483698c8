"""Digests of what lies in a tile store: of its codes and names, and of its pixels, block by block."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedray.storage import digest

BLOCK_BYTES = 2**20
"""Pixels that are checked at once, when the first of their tiles is read: a millisecond."""

_DIGITS = 16  # of a block's: there may be many


class ContentDigests:
    """Takes the digests of a store while it is written, a batch at a time."""

    def __init__(self, tile_bytes: int) -> None:
        """Start with nothing; ``tile_bytes`` is the size of a tile's pixels."""
        self._block_rows = max(1, BLOCK_BYTES // tile_bytes)
        self._blocks: list[str] = []
        self._codes = hashlib.sha256()

    def add(self, images: NDArray[np.uint8], batch: Any) -> None:
        """Take a record batch and its pixels, uint8 [n, H, W, C]."""
        for first in range(0, len(images), self._block_rows):
            self._blocks.append(_block_digest(images[first : first + self._block_rows]))
        _add_codes(self._codes, batch)

    def as_json(self) -> dict[str, Any]:
        """Return what :class:`PixelCheck` and :func:`codes_digest` are compared with."""
        return {"codes": self._codes.hexdigest()[:32], "block_rows": self._block_rows, "blocks": "".join(self._blocks)}


def codes_digest(batches: Sequence[Any]) -> str:
    """Take the digest of all columns of record batches but the pixels."""
    codes = hashlib.sha256()
    for batch in batches:
        _add_codes(codes, batch)
    return codes.hexdigest()[:32]


class PixelCheck:
    """Compares pixels with their digests when they are read first; later reads cost nothing."""

    def __init__(self, digests: dict[str, Any], batch_rows: int) -> None:
        """Take what :meth:`ContentDigests.as_json` gave, and the tiles of a record batch."""
        self._block_rows: int = digests["block_rows"]
        self._blocks: str = digests["blocks"]
        self._blocks_of_batch = -(-batch_rows // self._block_rows)
        self._whole: set[int] = set()

    def damaged(self, images: NDArray[np.uint8], number: int, rows: NDArray[np.int64]) -> tuple[int, int] | None:
        """Look at the blocks of rows of a record batch.

        Args:
            images: The batch's pixels, uint8 [n, H, W, C].
            number: Of the batch.
            rows: Rows in it.

        Returns:
            First and last row of a block that is not as it was written; None where all are.
        """
        for block in np.unique(rows // self._block_rows).tolist():
            place = number * self._blocks_of_batch + block
            if place in self._whole:
                continue
            first = block * self._block_rows
            pixels = images[first : first + self._block_rows]
            if _block_digest(pixels) != self._blocks[place * _DIGITS : (place + 1) * _DIGITS]:
                return first, first + len(pixels) - 1
            self._whole.add(place)
        return None


def _block_digest(pixels: NDArray[np.uint8]) -> str:
    return digest(np.ascontiguousarray(pixels).data)[:_DIGITS]


def _add_codes(codes: Any, batch: Any) -> None:
    for name in batch.schema.names:
        if name != "image":
            column = batch.column(name)
            codes.update(f"{name} {column.type} {len(column)} {column.null_count}".encode())
            for memory in _memory(column):
                codes.update(memory)


def _memory(column: Any) -> list[Any]:
    """Return what a column of codes or strings holds, without the padding that its file may have."""
    if pa.types.is_string(column.type):
        _, ends, text = column.buffers()
        offsets = np.frombuffer(ends, np.int32, len(column) + 1)
        return [offsets, memoryview(text)[: offsets[-1]] if text is not None else b""]
    return [column.to_numpy()]
