"""What every metric is: names that follow from labels, and values that are computed under just these names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.neighbours import radii

Scores = dict[str, float]
"""Scores by name; a name says its protocol: ``<kind>/<features>/<n>`` for all tiles, with ``/label/<label>`` or
``/domain/<domain>`` behind it for some of them."""

Features = NDArray[np.float32]
Mode = Literal["min", "max"]
"""Which values of a score are good, in the words of a sweep's goal."""


class Part(NamedTuple):
    """Tiles with a score of their own: those of one label or domain."""

    what: Literal["label", "domain"]
    code: int
    """Which one."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Features of a set of tiles, and the tiles' labels.

    Attributes:
        features: float32 [n, d].
        labels: int64 [n].
        domains: int64 [n]; None: nobody said.
    """

    features: Features
    labels: NDArray[np.int64]
    domains: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.labels)

    def of(self, label: int) -> "Sample":
        """Take the tiles of one label; always the same object, so that it keeps what was computed."""
        return self.part(Part("label", label))

    def part(self, part: Part) -> "Sample":
        """Take the tiles of one label or, where these are known, domain; always the same object."""
        if part not in self._parts:
            codes = self.labels if part.what == "label" else self.domains
            assert codes is not None
            self._parts[part] = self.take(np.flatnonzero(codes == part.code))
        return self._parts[part]

    def take(self, places: NDArray[np.int64]) -> "Sample":
        """Take the tiles at some places, [m]."""
        domains = None if self.domains is None else self.domains[places]
        return Sample(self.features[places], self.labels[places], domains)

    def radii(self, neighbours: int) -> NDArray[np.float64]:
        """Squared distance of each tile to its k-th neighbour among these, [n], n > k."""
        return self.once(f"radii to {neighbours}", lambda: radii(self.features, neighbours))

    def once(self, what: str, make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Compute something of these tiles, and keep it: the real ones are met every round."""
        if what not in self._kept:
            self._kept[what] = make()
        return self._kept[what]

    @cached_property
    def _parts(self) -> dict[Part, "Sample"]:
        return {}

    @cached_property
    def _kept(self) -> dict[str, NDArray[np.float64]]:
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

    Names and values come from the same kinds and the same labels and domains, so they cannot disagree.
    """

    kinds: ClassVar[dict[str, Mode | None]]
    """First parts of the names of its scores, in order, and which values are good; None: an end of an interval, which
    is no score of its own and no goal of a sweep."""
    shares: ClassVar[frozenset[str]] = frozenset()
    """Kinds that are a share of tiles, in [0, 1]."""
    least: ClassVar[float] = 0.0
    """No score is lower."""
    most: ClassVar[float] = np.inf
    """No score is higher, and no share than 1."""
    of_each_tile: ClassVar[frozenset[str]] = frozenset()
    """Kinds that ask each generated tile whether it is as real ones are, and not whether all kinds of tiles are among
    them: a few real tiles repeated may score as well as all of them, or better."""
    min_tiles: ClassVar[int]
    """Tiles that either set must have; of fewer it has no scores."""
    min_label_tiles: ClassVar[int | None]
    """Tiles that a label or a domain must have, real as generated, for scores of its own; None: none has any."""

    def __init__(self, features: str, label_names: Sequence[str], domain_names: Sequence[str] = ()) -> None:
        """Stand ready to compare.

        Args:
            features: Name of the features, for the names of the scores.
            label_names: Names of the labels, by label.
            domain_names: Names of the domains, by domain, where tiles have some.
        """
        self.features, self.label_names, self.domain_names = features, label_names, domain_names

    @abstractmethod
    def measure(self, real: Sample, fake: Sample) -> Sequence[float]:
        """Compare two equally large sets, whatever their labels. Returns a value for each of :attr:`kinds`."""

    def names(self, labels: NDArray[np.int64], domains: NDArray[np.int64] | None = None) -> list[str]:
        """Name the scores of a comparison with real tiles that carry these labels and domains, int64 [n].

        n is always the number of all tiles compared, on either side. What follows from n and the store, such as the
        tiles of one label, is not repeated in the name.
        """
        return [self._name(kind, len(labels), part) for kind in self.kinds for part in self._scored(labels, domains)]

    def scored(self, real: Sample) -> list[Part | None]:
        """List the parts of the real tiles that have scores of their own, all of them (None) first."""
        return list(self._scored(real.labels, real.domains))

    def values(self, real: Sample, fake: Sample) -> Scores:
        """Compute the scores that :meth:`names` lists for the real tiles; order has no meaning.

        Args:
            real: The real tiles.
            fake: The generated ones: as many, as many of each label, and if their domains are known, of each domain.
        """
        found = {part: self.measure(*both) for part, both in self.parts(real, fake)}
        return {
            self._name(kind, len(real), part): float(values[place])
            for place, kind in enumerate(self.kinds)
            for part, values in found.items()
        }

    def parts(self, real: Sample, fake: Sample) -> Iterator[tuple[Part | None, tuple[Sample, Sample]]]:
        """All tiles of both (None), and those of each label and domain that has scores of its own."""
        for part in self._scored(real.labels, None if fake.domains is None else real.domains):
            yield part, (real, fake) if part is None else (real.part(part), fake.part(part))

    def named(self, n: int, part: Part | None, values: Sequence[float]) -> Scores:
        """Give the values of a part, one for each of :attr:`kinds`, their names in a comparison of n tiles."""
        return {self._name(kind, n, part): float(value) for kind, value in zip(self.kinds, values, strict=True)}

    def _scored(self, labels: NDArray[np.int64], domains: NDArray[np.int64] | None) -> Iterator[Part | None]:
        """All tiles (None), then labels and, where there are several, domains, in order, that enough of them carry."""
        if len(labels) >= self.min_tiles:
            yield None
        if self.min_label_tiles is None:
            return
        present, counts = np.unique(labels, return_counts=True)
        yield from (Part("label", code) for code in present[counts >= self.min_label_tiles].tolist())
        if domains is None:
            return
        present, counts = np.unique(domains, return_counts=True)
        if len(present) > 1:
            yield from (Part("domain", code) for code in present[counts >= self.min_label_tiles].tolist())

    def _name(self, kind: str, n: int, part: Part | None) -> str:
        name = f"{kind}/{self.features}/{n}"
        if part is None:
            return name
        names = self.label_names if part.what == "label" else self.domain_names
        return f"{name}/{part.what}/{names[part.code]}"


def whole_of(name: str) -> str:
    """Return the name of the score of all tiles of which a score is a label's or a domain's; its own if it is none."""
    return min((name.partition(mark)[0] for mark in ("/label/", "/domain/")), key=len)


def is_of_all_tiles(name: str) -> bool:
    """Say whether a score is that of all tiles, and not of a label's or a domain's."""
    return whole_of(name) == name
