"""Scores of a classifier by domain and by cell, a label with a domain: what means over all tiles do not show.

They exist where the tiles are of several domains. Of a domain with several labels: balanced accuracy and macro-F1, over
the labels that its tiles have. Of a cell: the recall. The worst of the recalls is that of cells with at least
:data:`MIN_CELL_TILES` tiles, for of fewer a recall says little, and the least of many such is low by chance alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.classification import MEANS, NUM_RESAMPLES, OF_LABEL, WORST, Told
from fedray.evaluation.intervals import LEVEL
from fedray.evaluation.metrics.base import Scores
from fedray.randomness import stream

MIN_CELL_TILES = 10
"""Tiles below which a cell has no say in what the worst recall is."""

OF_DOMAIN = MEANS[:2]
"""Kinds of scores that a domain has."""
_LABEL, _DOMAIN = "/label/", "/domain/"


class _Answered(NamedTuple):
    """Tiles by domain and label, of one or several draws: int64 [draw, domain, label]."""

    right: NDArray[np.int64]
    """Those of the label that are taken for it."""
    taken: NDArray[np.int64]
    """All that are taken for it."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Which tiles a classifier is scored on, by label and domain.

    Attributes:
        labels: int64 [n], of the tiles.
        domains: int64 [n].
        label_names: By label.
        domain_names: By domain.
        split: That the tiles are of, for the names of the scores.
    """

    labels: NDArray[np.int64]
    domains: NDArray[np.int64]
    label_names: Sequence[str]
    domain_names: Sequence[str]
    split: str

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Tiles of each cell, [domain, label]."""
        counts = np.zeros((len(self.domain_names), len(self.label_names)), np.int64)
        np.add.at(counts, (self.domains, self.labels), 1)
        return counts

    def names(self) -> list[str]:
        """Name the scores with the ends of their intervals, in the order in which they are listed; none of one domain.

        ``<kind>/<split>/<n>/domain/<domain>``, ``recall/<split>/<n>/label/<label>/domain/<domain>``, and
        ``worst-cell-recall/<split>/<n>``, which n tiles are all of the split.
        """
        return [f"{kind}{end}/{rest}" for kind, rest in self._scored() for end in ("", "-low", "-high")]

    def too_few(self) -> list[str]:
        """Name the cells with too few tiles to be the worst, ``label@domain``, with their numbers of tiles."""
        counts = self.counts
        if np.count_nonzero(counts.sum(1)) < 2:
            return []
        few = [(label, domain) for domain, label in np.argwhere((counts > 0) & (counts < MIN_CELL_TILES)).tolist()]
        return [
            f"{self.label_names[label]}@{self.domain_names[domain]} ({counts[domain, label]})"
            for label, domain in sorted(few)
        ]

    def scores(self, *several: Told) -> Scores:
        """Score what a classifier says of the tiles, each score with the ends of its interval; of several, their means.

        The interval is what another draw of as many tiles of each cell would score with the same network, 95 times of
        100 (bootstrap within cells, percentiles). The worst of several recalls is the lower the more they scatter: its
        interval says what the worst of another draw would be, not which cell it would be. Of several classifiers all
        are given the same draws.

        Args:
            several: What each says of these tiles, in their order; at least one.

        Returns:
            By the names of :meth:`names`.
        """
        assert all(np.array_equal(told.labels, self.labels) for told in several), "what is told is of these tiles"
        if not (names := self.names()):
            return {}
        values = np.mean([self._values(self._answered(told.answers)) for told in several], axis=0)[:, 0]
        draws = np.mean([self._values(self._drawn(told.answers)) for told in several], axis=0)
        low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=1)
        return dict(zip(names, np.stack([values, low, high], axis=1).ravel().tolist(), strict=True))

    def majority_scores(self, majority: int) -> Scores:
        """Score who always answers one label, the same names without intervals."""
        if not (names := self.names()):
            return {}
        values = self._values(self._answered(np.full(len(self.labels), majority)))
        return dict(zip(names[::3], (float(value[0]) for value in values), strict=True))

    def _scored(self) -> Iterator[tuple[str, str]]:
        """Yield kind and rest of the names of all scores."""
        counts, tail = self.counts, f"{self.split}/{len(self.labels)}"
        if np.count_nonzero(counts.sum(1)) < 2:
            return
        if (counts >= MIN_CELL_TILES).any():
            yield WORST, tail
        for kind in OF_DOMAIN:
            yield from ((kind, f"{tail}{_DOMAIN}{self.domain_names[domain]}") for domain in _several_labels(counts))
        for label, domain in np.argwhere(counts.T > 0).tolist():
            yield OF_LABEL, f"{tail}{_LABEL}{self.label_names[label]}{_DOMAIN}{self.domain_names[domain]}"

    def _answered(self, answers: NDArray[np.int64]) -> _Answered:
        right, taken = np.zeros_like(self.counts), np.zeros_like(self.counts)
        np.add.at(right, (self.domains, self.labels), answers == self.labels)
        np.add.at(taken, (self.domains, answers), 1)
        return _Answered(right[np.newaxis], taken[np.newaxis])

    def _drawn(self, answers: NDArray[np.int64]) -> _Answered:
        """Draw the tiles of each cell anew, with replacement: the same draws whatever was answered."""
        random = stream(0, "cells-bootstrap")
        right, taken = (np.zeros((NUM_RESAMPLES, *self.counts.shape), np.int64) for _ in range(2))
        for domain, label in np.argwhere(self.counts > 0).tolist():
            own = answers[(self.domains == domain) & (self.labels == label)]
            times = random.multinomial(len(own), np.full(len(own), 1 / len(own)), NUM_RESAMPLES)
            drawn = times @ np.eye(len(self.label_names), dtype=np.int64)[own]
            right[:, domain, label] = drawn[:, label]
            taken[:, domain] += drawn
        return _Answered(right, taken)

    def _values(self, answered: _Answered) -> list[NDArray[np.float64]]:
        """Compute the scores of all draws, each [draw], in the order of :meth:`_scored`."""
        counts = self.counts
        recalls = answered.right / np.maximum(counts, 1)
        f1 = 2 * answered.right / np.maximum(counts + answered.taken, 1)  # F1 of precision and recall, written out
        values = []
        if (counts >= MIN_CELL_TILES).any():
            values.append(recalls[:, counts >= MIN_CELL_TILES].min(1))
        for of_label in (recalls, f1):
            values += [of_label[:, domain, counts[domain] > 0].mean(1) for domain in _several_labels(counts)]
        return values + [recalls[:, domain, label] for label, domain in np.argwhere(counts.T > 0).tolist()]


def cell_of(name: str) -> tuple[str, str] | None:
    """Return the label and the domain of a cell's score; None: it is no cell's."""
    protocol, of_label, label = name.partition(_LABEL)
    label, of_domain, domain = label.rpartition(_DOMAIN)
    return (label, domain) if of_label and of_domain and protocol.partition("/")[0] == OF_LABEL else None


def _several_labels(counts: NDArray[np.int64]) -> list[int]:
    """Return the domains in which something can be told apart, by their counts [domain, label]."""
    found: list[int] = np.flatnonzero((counts > 0).sum(1) > 1).tolist()
    return found
