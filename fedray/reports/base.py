"""What every report is: tiles and the real ones beside them in; a verdict, tables and pictures out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.data import TileStore
from fedray.randomness import stream

Tiles = NDArray[np.uint8]
"""uint8 [n, H, W, C] in [0, 255]."""
Labels = NDArray[np.int64]
"""int64 [n]."""
Features = NDArray[np.float32]
"""float32 [n, d]."""

CONTROLS = 512
"""Real tiles of a split that a report looks at, at the most: more cost time, and say little more."""
AT_ONCE = 256
"""Tiles whose pixels are held in memory: of 224 px, some 150 MB while they are reduced."""


@dataclass(frozen=True, eq=False)
class RealTiles:
    """The real tiles of a store, and how tiles become features; several generators may be held against the same ones.

    Attributes:
        store: ``train`` is what a generator may have learned from, ``test`` what was held out.
        extractor: Name of the features.
        features: Maps tiles, uint8 [m, H, W, C], to features, float32 [m, d].
    """

    store: TileStore
    extractor: str
    features: Callable[[Tiles], Features]
    _kept: dict[str, Features] = field(default_factory=dict, repr=False)

    @property
    def training(self) -> NDArray[np.int64]:
        """Store indices of the tiles that may have been learned from, int64, ascending."""
        return self.store.indices("train")

    @cached_property
    def held_out(self) -> NDArray[np.int64]:
        """Store indices of held-out tiles, int64, ascending: all, or so many that are drawn."""
        return self._drawn("test")

    @cached_property
    def some_training(self) -> NDArray[np.int64]:
        """Store indices of as many training tiles at the most, int64, ascending."""
        return self._drawn("train")

    def batches(self) -> Iterator[Tiles]:
        """Read all training tiles, some at a time."""
        yield from self._batches_of(self.training)

    def features_of(self, indices: NDArray[np.int64]) -> Features:
        """Compute the features of tiles of the store once; float32 [m, d]."""
        key = indices.tobytes().hex()
        if key not in self._kept:
            parts = [self.features(tiles) for tiles in self._batches_of(indices)]
            self._kept[key] = np.concatenate(parts) if parts else self.features(self.store.tiles(slice(0, 1)))[:0]
        return self._kept[key]

    def _batches_of(self, indices: NDArray[np.int64]) -> Iterator[Tiles]:
        for start in range(0, len(indices), AT_ONCE):
            yield self.store.tiles(indices[start : start + AT_ONCE])

    def _drawn(self, split: str) -> NDArray[np.int64]:
        indices = self.store.indices(split)
        if len(indices) > CONTROLS:
            indices = np.sort(stream(0, "reports", split).choice(indices, CONTROLS, replace=False))
        return indices


@dataclass(frozen=True, eq=False)
class Judged:
    """Generated tiles beside the real ones.

    Attributes:
        name: What people call the generator.
        tiles: uint8 [n, H, W, C], of the size of the real ones.
        labels: int64 [n], what each was asked for, in the codes of the real tiles' store.
        real: The real tiles.
        seed: Of all that is drawn, >= 0.
    """

    name: str
    tiles: Tiles
    labels: Labels
    real: RealTiles
    seed: int = 0

    @cached_property
    def features(self) -> Features:
        """Of the tiles, float32 [n, d]."""
        return self.real.features(self.tiles)


@dataclass(frozen=True)
class Figure:
    """A picture that can stand on any page.

    Attributes:
        name: Word for files and addresses: lower case, ``-`` between words.
        png: The file's bytes.
        caption: What is seen, in sentences.
        alt: The same for somebody who does not see it, in one sentence.
        real_tiles: Whether it may show real tiles; such pictures stay where those may be seen.
    """

    name: str
    png: bytes
    caption: str
    alt: str
    real_tiles: bool = True


@dataclass(frozen=True, eq=False)
class Finding:
    """What a report finds.

    Attributes:
        verdict: One sentence in plain words.
        alarm: Whether it speaks against the generator; None where nothing can be said of these tiles.
        tables: By a word for files; the first is the one to show.
        figures: In the order in which they are shown.
    """

    verdict: str
    alarm: bool | None
    tables: Mapping[str, pd.DataFrame]
    figures: tuple[Figure, ...] = ()


class Report(ABC):
    """A question to generated tiles beside real ones, and how it is answered."""

    title: ClassVar[str]
    """A word or two."""
    question: ClassVar[str]
    """In plain words."""

    @abstractmethod
    def make(self, judged: Judged) -> Finding:
        """Answer it; the same tiles, in the same order and of the same seed, always give the same finding."""


def percent(share: float, digits: int = 0) -> str:
    """Write a share as people read it: 0.05 as ``5 %``, of which a line never parts the sign."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"
