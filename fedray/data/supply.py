"""A store of synthetic tiles as an experiment sees it: its own labels and domains, by their names."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedray.config import DataConfig
from fedray.data.sources import beside_store, local_store, store_shape
from fedray.data.store import StoreError, TileStore
from fedray.data.tiles import LabelledTiles, TileShape, count_cells

Codes = NDArray[np.int64]

_REMEDY = "take tiles of a run that learned from that store (jobs/generate_tiles.py)"


class Supply:
    """Synthetic tiles, with the codes that the experiment's labels and domains have: names may stand in another order.

    Attributes:
        store: The store.
    """

    def __init__(self, store: TileStore, label_names: Sequence[str], domain_names: Sequence[str]) -> None:
        """Take the store, and the experiment's names in the order of their codes; the store's are among them."""
        self.store = store
        self._shape = store_shape(store)._replace(num_labels=len(label_names), num_domains=len(domain_names))
        self._labels, self._domains = (
            np.array([list(ours).index(name) for name in theirs], np.int64)
            for ours, theirs in ((label_names, store.label_names), (domain_names, store.domain_names))
        )

    def read(self, indices: Codes) -> LabelledTiles:
        """Read tiles, by their indices in the store."""
        labels, domains = self.codes(indices)
        return LabelledTiles(self.store.tiles(indices), labels, domains)

    def codes(self, indices: Codes) -> tuple[Codes, Codes]:
        """Return labels and domains of tiles, both int64 [n], by their indices in the store."""
        return self._labels[self.store.labels[indices]], self._domains[self.store.domains[indices]]

    def stock(self) -> Codes:
        """Count the training tiles, int64 [label, domain]."""
        return count_cells(self._shape, *self.codes(self.store.indices("train")))


def supply_for(
    path: str, shape: TileShape, label_names: Sequence[str], domain_names: Sequence[str], where: str
) -> Supply:
    """Open the synthetic tiles of an experiment whose real ones are such.

    Args:
        path: Of the store (``classification.synthetic``).
        shape: Of the real tiles.
        label_names: Of the real tiles, in the order of their codes.
        domain_names: Of the real tiles, in the order of their codes.
        where: The real tiles are, for people.

    Raises:
        StoreError: It cannot be opened, there is no tile to train on, or they have another size or other labels than
            the real ones; the message lists all differences.
    """
    store = beside_store("classification.synthetic", path)
    if problems := _differences(shape, label_names, domain_names, store):
        raise StoreError(
            f"the synthetic tiles in {path} (classification.synthetic) do not go with the real ones {where}: "
            f"{'; '.join(problems)}; {_REMEDY}"
        )
    return Supply(store, label_names, domain_names)


@lru_cache(maxsize=4)
def supply_beside(path: str, data: DataConfig) -> Supply:
    """Open synthetic tiles once a process, beside the real ones of its own store. Errors as of :func:`supply_for`."""
    real = local_store(data)
    return supply_for(path, store_shape(real), real.label_names, real.domain_names, f"in {real.path}")


def _differences(
    shape: TileShape, label_names: Sequence[str], domain_names: Sequence[str], synthetic: TileStore
) -> list[str]:
    """Say in what synthetic tiles differ from what they are trained on with."""
    problems = []
    for ours, theirs, unit in (
        (shape.size, synthetic.tile_size, "px"),
        (shape.channels, synthetic.channels, "channels"),
    ):
        if ours != theirs:
            problems.append(f"they have {theirs} {unit}, not {ours}")
    if set(label_names) != set(synthetic.label_names):
        problems.append(f"their labels are {_named(synthetic.label_names)}, not {_named(label_names)}")
    if unknown := [name for name in synthetic.domain_names if name not in domain_names]:
        problems.append(f"their domain {unknown[0]!r} is none of {_named(domain_names)}")
    if len(synthetic.indices("train")) == 0:
        problems.append("none of them is in the split 'train'")
    return problems


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
