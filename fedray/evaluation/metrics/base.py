"""What every metric is: names that follow from labels, and values that are computed under just these names."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.neighbours import radii

Scores = dict[str, float]
"""Scores by name; a name says its protocol: ``<kind>/<features>/<n>`` or ``<kind>/<features>/<n>/label/<label>``."""

Features = NDArray[np.float32]
Mode = Literal["min", "max"]
"""Which values of a score are good, in the words of a sweep's goal."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Features of a set of tiles, and the tiles' labels.

    Attributes:
        features: float32 [n, d].
        labels: int64 [n].
    """

    features: Features
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.labels)

    def of(self, label: int) -> "Sample":
        """Take the tiles of one label; always the same object, so that it keeps what was computed."""
        if label not in self._of_labels:
            chosen = self.labels == label
            self._of_labels[label] = Sample(self.features[chosen], self.labels[chosen])
        return self._of_labels[label]

    def radii(self, neighbours: int) -> NDArray[np.float64]:
        """Squared distance of each tile to its k-th neighbour among these, [n], n > k; computed once, as the root."""
        if neighbours not in self._radii:
            self._radii[neighbours] = radii(self.features, neighbours)
        return self._radii[neighbours]

    @cached_property
    def _of_labels(self) -> dict[int, "Sample"]:
        return {}

    @cached_property
    def _radii(self) -> dict[int, NDArray[np.float64]]:
        return {}

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the features, float64 [d]."""
        mean: NDArray[np.float64] = self.features.mean(0, dtype=np.float64)
        return mean

    @cached_property
    def centred(self) -> NDArray[np.float64]:
        """A matrix C with covariance C'C, float64 [n, d]."""
        # float64: cancellation in the covariance biases FID
        centred: NDArray[np.float64] = (self.features - self.mean) / np.sqrt(len(self) - 1)
        return centred

    @cached_property
    def root(self) -> NDArray[np.float64]:
        """A smaller one, float64 [min(n, d), d]; computed once, and the real tiles are met every round."""
        return self.centred if len(self) <= self.centred.shape[1] else np.linalg.qr(self.centred).R


class Metric(ABC):
    """A metric of generated against real tiles, in one kind of features; a subclass says what it is for two sets.

    Names and values come from the same kinds and the same labels, so they cannot disagree.
    """

    kinds: ClassVar[dict[str, Mode | None]]
    """First parts of the names of its scores, in order, and which values are good; None: an end of an interval, which
    is no score of its own and no goal of a sweep."""
    min_tiles: ClassVar[int]
    """Tiles that either set must have; of fewer it has no scores."""
    min_label_tiles: ClassVar[int | None]
    """Tiles that a label must have, real as generated, for scores of its own; None: no label has any."""

    def __init__(self, features: str, label_names: Sequence[str]) -> None:
        """Stand ready to compare.

        Args:
            features: Name of the features, for the names of the scores.
            label_names: Names of the labels, by label.
        """
        self.features, self.label_names = features, label_names

    @abstractmethod
    def measure(self, real: Sample, fake: Sample) -> Sequence[float]:
        """Compare two equally large sets, whatever their labels. Returns a value for each of :attr:`kinds`."""

    def names(self, labels: NDArray[np.int64]) -> list[str]:
        """Name the scores of a comparison with real tiles that carry these labels, int64 [n].

        n is always the number of all tiles compared, on either side. What follows from n and the store, such as the
        tiles of one label, is not repeated in the name.
        """
        return [self._name(kind, len(labels), label) for kind in self.kinds for label in self._parts(labels)]

    def values(self, real: Sample, fake: Sample) -> Scores:
        """Compute the scores that :meth:`names` lists for the labels of the real tiles; order has no meaning.

        Args:
            real: The real tiles.
            fake: The generated ones: as many, and as many of each label.
        """
        found = {
            label: self.measure(real, fake) if label is None else self.measure(real.of(label), fake.of(label))
            for label in self._parts(real.labels)
        }
        return {
            self._name(kind, len(real), label): float(values[place])
            for place, kind in enumerate(self.kinds)
            for label, values in found.items()
        }

    def _parts(self, labels: NDArray[np.int64]) -> Iterator[int | None]:
        """All tiles (None), then the labels, in order, that enough of them carry."""
        if len(labels) >= self.min_tiles:
            yield None
        if self.min_label_tiles is not None:
            present, counts = np.unique(labels, return_counts=True)
            yield from present[counts >= self.min_label_tiles].tolist()

    def _name(self, kind: str, n: int, label: int | None) -> str:
        name = f"{kind}/{self.features}/{n}"
        return name if label is None else f"{name}/label/{self.label_names[label]}"
