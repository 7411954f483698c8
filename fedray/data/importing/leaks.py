"""The same image in train and test, under two labels, or twice: by the pixels, and nearly so by what is seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedray.data.decoding import DecodedTile, Pixels
from fedray.data.importing.images import ListedImage
from fedray.data.store import StoreError

Duplicates = Literal["refuse", "first"]

THUMBNAIL = 16
"""Edge in pixels of what is compared: grey, of the whole tile."""
NEAR = 0.97
"""Correlation of two thumbnails from which on they show the same; measured by benchmarks/leaks.py."""
_FLAT = 3.0
"""Standard deviation of a thumbnail in grey levels below which there is nothing to compare: empty slide."""
_BLOCK = 2048
_PAIRS_AT_ONCE = 16_384
_NAMED_PAIRS = 20


@dataclass
class LeakSearch:
    """Sees every tile once, keeps a hash and 256 bytes of it, and finds what occurs more than once."""

    duplicates: Duplicates
    """What is done where two images have the same pixels, the same label and, for 'first', whatever split."""
    _first: dict[bytes, ListedImage] = field(default_factory=dict)
    _pairs: list[tuple[ListedImage, ListedImage]] = field(default_factory=list)
    _seen: list[ListedImage] = field(default_factory=list)
    _thumbnails: list[Pixels] = field(default_factory=list)

    def is_new(self, image: ListedImage, tile: DecodedTile) -> bool:
        """Take a tile into account; False: an earlier one has the same pixels, and this one is to be left out."""
        first = self._first.setdefault(tile.digest, image)
        if first is not image:
            if self.duplicates == "refuse" or first.label != image.label:
                self._pairs.append((first, image))
            return False
        self._seen.append(image)
        self._thumbnails.append(thumbnail(tile.pixels))
        return True

    def check(self) -> None:
        """Refuse the set if an image occurs more than once.

        Raises:
            StoreError: With the pairs.
        """
        if not self._pairs:
            return
        labels = [pair for pair in self._pairs if pair[0].label != pair[1].label]
        same = [pair for pair in self._pairs if pair[0].label == pair[1].label]
        splits = [pair for pair in same if pair[0].split != pair[1].split]
        twice = [pair for pair in same if pair[0].split == pair[1].split]
        kinds = {"under two labels": labels, "in train and in test": splits, "twice": twice}
        counts = ", ".join(f"{len(pairs)} {kind}" for kind, pairs in kinds.items() if pairs)
        named = _named([*labels, *splits, *twice])
        remedy = (
            "decide which label is right, and remove the other file of each pair"
            if labels
            else "remove one file of each pair, or keep one with --duplicates first (the one in test, if in both)"
        )
        raise StoreError(f"images with the same pixels occur more than once: {counts} ({named}); {remedy}")

    def near_pairs(self) -> list[tuple[ListedImage, ListedImage]]:
        """Find images in train that look like one in test: flipped, turned, saved again, brighter or darker."""
        if not self._seen:
            return []
        in_test = np.array([image.split == "test" for image in self._seen])
        thumbnails = np.stack(self._thumbnails)
        train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
        pairs = near_duplicates(thumbnails[train], thumbnails[test])
        return [(self._seen[train[a]], self._seen[test[b]]) for a, b in pairs]


def near_note(pairs: Sequence[tuple[ListedImage, ListedImage]]) -> str:
    """Say which images of train and test look alike."""
    return (
        f"{len(pairs)} test images look like a training image but for flips, turns, brightness or compression "
        f"({_named(pairs)}); if they show the same, scores are too good: remove one of each, or give both one group"
    )


def _named(pairs: Sequence[tuple[ListedImage, ListedImage]]) -> str:
    named = "; ".join(f"{_place(first)} = {_place(second)}" for first, second in pairs[:_NAMED_PAIRS])
    more = len(pairs) - _NAMED_PAIRS
    return named + (f"; and {more} more" if more > 0 else "")


def _place(image: ListedImage) -> str:
    return f"{image.source} [{image.label}, {image.split}]"


def thumbnail(pixels: Pixels) -> Pixels:
    """Reduce a tile to what is compared, uint8 [16, 16], grey."""
    image = Image.fromarray(pixels).convert("L")
    return np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def near_duplicates(train: Pixels, test: Pixels) -> list[tuple[int, int]]:
    """Find pairs of thumbnails that are the same picture, in any of the eight positions of a square.

    Pearson's correlation does not see brightness and contrast. Flips change signs of cosine coefficients and a
    transposition swaps them, so the lengths of the pairs C(u, v), C(v, u) are the same in all positions, and their
    product is never below the correlation in the best position: one matrix product finds all candidates.

    Args:
        train: uint8 [N, 16, 16].
        test: uint8 [M, 16, 16].

    Returns:
        Pairs of an index in train and one in test, sorted; for each in test the first. A thumbnail without contrast is
        in none.
    """
    train_indices, test_indices = _with_contrast(train), _with_contrast(test)
    train_rows, test_rows = normalised(train[train_indices]), normalised(test[test_indices])
    train_lengths, test_lengths = _position_free(train_rows), _position_free(test_rows)
    found: list[tuple[int, int]] = []
    for start in range(0, len(test_rows), _BLOCK):
        unmatched = np.arange(start, min(start + _BLOCK, len(test_rows)))
        for begin in range(0, len(train_rows), _BLOCK):
            products = train_lengths[begin : begin + _BLOCK] @ test_lengths[unmatched].T
            rows, columns = np.nonzero(products > NEAR)
            same = best_correlation(train_rows, test_rows, rows + begin, unmatched[columns]) > NEAR
            matched, first = np.unique(columns[same], return_index=True)
            found += zip(
                train_indices[rows[same][first] + begin].tolist(),
                test_indices[unmatched[matched]].tolist(),
                strict=True,
            )
            # Each test image is named once: a set of one picture has as many pairs as it has images, not their square.
            unmatched = np.delete(unmatched, matched)
    return sorted(found)


def _with_contrast(thumbnails: Pixels) -> NDArray[np.int64]:
    return np.flatnonzero(thumbnails.std(axis=(1, 2)) >= _FLAT)


def normalised(thumbnails: Pixels) -> NDArray[np.float32]:
    """Thumbnails of mean 0 and length 1, whose products are correlations: [N, 16, 16]."""
    values = thumbnails.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    return np.asarray(values / np.maximum(lengths, 1e-6), np.float32)


def _position_free(normalised: NDArray[np.float32]) -> NDArray[np.float32]:
    """What flips and turns do not change, of length 1: [N, 136]."""
    from scipy.fft import dctn  # here: a third of a second, and workers import no pictures

    cosines = dctn(normalised, axes=(1, 2), norm="ortho")
    rows, columns = np.triu_indices(THUMBNAIL)
    # A coefficient of the diagonal is its own partner and counts once.
    partner = np.where(rows == columns, 0, cosines[:, columns, rows])
    return np.asarray(np.hypot(cosines[:, rows, columns], partner), np.float32)


def best_correlation(
    train: NDArray[np.float32], test: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Correlation of each pair of a row in ``train`` and one in ``test``, in the best of the eight positions."""
    best = np.full(len(rows), -1, np.float32)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        at = slice(start, start + _PAIRS_AT_ONCE)
        fixed, moved = train[rows[at]], test[columns[at]]
        for turns in range(4):
            turned = np.rot90(moved, turns, axes=(1, 2))
            for position in (turned, turned[:, :, ::-1]):
                best[at] = np.maximum(best[at], np.einsum("nij,nij->n", fixed, position))
    return best
