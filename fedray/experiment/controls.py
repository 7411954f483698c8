"""Controls: tiles that stand in the place of a generator's, by name, of which a classifier should gain nothing, or all.

Whatever a classifier gains by synthetic tiles is held against these. Of noise, of labels that say nothing, and of tiles
without detail it should gain less; copies of real tiles are what a perfect generator would hand out: in one place no
more than oversampling, in a federation the tiles of other clients themselves, which no federation hands out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedray.data import Tile, TileStore
from fedray.evaluation.destruction import blur

ControlName = Literal["noise", "shuffled-labels", "blurred", "copies"]

BLUR_PX = 2.0
"""Standard deviation of the blur."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What a control is made of.

    Attributes:
        made: The tiles in whose place it stands: it has as many of each label and domain.
        real: The store that their generator learned from.
        training: Store indices of the tiles that it learned from, int64 [n].
        rng: What is random is drawn from here.
    """

    made: TileStore
    real: TileStore
    training: NDArray[np.int64]
    rng: np.random.Generator


def noise(asked: Asked) -> Iterator[Tile]:
    """Give every pixel a value drawn evenly from 0 to 255: a label without a picture."""
    for place, label, domain in _places(asked.made):
        image = asked.rng.integers(0, 256, asked.made.tiles([place])[0].shape, dtype=np.uint8)
        yield _tile(image, label, domain, f"noise {place:06d}")


def shuffled_labels(asked: Asked) -> Iterator[Tile]:
    """Hand the labels round among the tiles of a domain, at random: there are as many of each, and they say nothing."""
    labels = asked.made.labels.copy()
    for domain in np.unique(asked.made.domains):
        own = asked.made.domains == domain
        labels[own] = asked.rng.permutation(labels[own])
    for place, _, domain in _places(asked.made):
        yield _tile(asked.made.tiles([place])[0], int(labels[place]), domain, f"shuffled {place:06d}")


def blurred(asked: Asked) -> Iterator[Tile]:
    """Blur the tiles by :data:`BLUR_PX`: colour is left, detail is not."""
    for place, label, domain in _places(asked.made):
        image = blur(asked.made.tiles([place]), np.array([label]), asked.rng, sigma_px=BLUR_PX)[0]
        yield _tile(image, label, domain, f"blurred {place:06d}")


def copies(asked: Asked) -> Iterator[Tile]:
    """Draw the cell's own real training tiles, again and again where there are too few.

    A cell that nobody has stays empty.
    """
    labels, domains = asked.real.labels[asked.training], asked.real.domains[asked.training]
    cells, counts = np.unique(np.stack([asked.made.labels, asked.made.domains], 1), axis=0, return_counts=True)
    for (label, domain), count in zip(cells.tolist(), counts.tolist(), strict=True):
        own = asked.training[(labels == label) & (domains == domain)]
        drawn = np.resize(asked.rng.permutation(own), count if len(own) else 0)
        for place, index in enumerate(drawn.tolist()):
            yield _tile(asked.real.tiles([index])[0], label, domain, f"copy {label}-{domain}-{place:06d}")


CONTROLS: dict[ControlName, Callable[[Asked], Iterator[Tile]]] = {
    "noise": noise,
    "shuffled-labels": shuffled_labels,
    "blurred": blurred,
    "copies": copies,
}
"""By the name that a study gives them."""


def _places(made: TileStore) -> Iterator[tuple[int, int, int]]:
    """Yield place, label and domain of each tile."""
    return zip(range(len(made)), made.labels.tolist(), made.domains.tolist(), strict=True)


def _tile(image: NDArray[np.uint8], label: int, domain: int, name: str) -> Tile:
    return Tile(image, label, domain, group=name, split="train", source=name)
