"""What tiles are called by a classifier that learned from real ones' features: by label, or by domain."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics.base import Features
from fedray.evaluation.metrics.c2st import QUANTILE, REGULARISATION
from fedray.evaluation.metrics.shares import wilson

Codes = NDArray[np.int64]

NUM_FOLDS = 5
FEWEST = 20
"""Real tiles of a cell without which it has no recall of its own."""


@dataclass(frozen=True)
class Recall:
    """How often real tiles of a code, held back from the classifier, are called by that code.

    Attributes:
        share: Of them, in [0, 1].
        low: Lower end of its interval of 95 %, which takes tiles for independent.
        num: So many there are.
    """

    share: float
    low: float
    num: int


@dataclass(frozen=True, eq=False)
class Caller:
    """A logistic regression on standardised features; every cell of the real tiles weighs alike.

    Otherwise a label would be told by the domain that it mostly comes with, and tiles of a pair that is rare be called
    wrong however good they are.

    Attributes:
        recalls: By code, cross-validated.
        of_cells: The same of single cells, of those with :data:`FEWEST` tiles or more.
        unseen: By code, of tiles whose whole cell was held back: what may be asked of a pair that nobody has. A code
            that is in one cell alone has none.
        chance: Recall of who guesses, one over the number of codes.
    """

    recalls: dict[int, Recall]
    of_cells: dict[int, Recall]
    unseen: dict[int, Recall]
    chance: float
    _cells: frozenset[int]
    _fitted: Any

    @classmethod
    def learned(cls, features: Features, codes: Codes, cells: Codes, groups: Codes) -> "Caller | None":
        """Learn from real tiles.

        Args:
            features: float32 [n, d].
            codes: int64 [n], what is to be told: labels, or domains.
            cells: int64 [n], of the pair of a label and a domain.
            groups: int64 [n]; where every code has five or more, no group is learned from and held back at once.

        Returns:
            What tells codes of five tiles or more apart; None where there are no two of them.
        """
        present, counts = np.unique(codes, return_counts=True)
        present = present[counts >= NUM_FOLDS]
        if len(present) < 2:
            return None
        kept = np.isin(codes, present)
        features, codes, cells, groups = features[kept], codes[kept], cells[kept], groups[kept]
        weights = _weights(codes, cells)
        right = _held_back(features, codes, groups, weights) == codes
        recalls = {int(code): _recall(right[codes == code]) for code in present}
        found, counts = np.unique(cells, return_counts=True)
        of_cells = {int(cell): _recall(right[cells == cell]) for cell in found[counts >= FEWEST]}
        unseen = _unseen(features, codes, cells)
        fitted = _classifier().fit(features, codes, logisticregression__sample_weight=weights)
        return cls(recalls, of_cells, unseen, 1 / len(present), frozenset(found.tolist()), fitted)

    def recall(self, code: int, cell: int) -> Recall | None:
        """Return what real tiles of a cell have, or where they are few, all of the code; of no cell, unseen ones."""
        if cell not in self._cells:
            return self.unseen.get(code)
        return self.of_cells.get(cell, self.recalls.get(code))

    def tells(self, code: int, cell: int) -> bool:
        """Say whether it knows a code: half of the way from chance to certainty, and in the cell more than by chance.

        Of a code that is known less, real tiles of other patients differ too much for a limit to say anything.
        """
        of_code = (self.recalls if cell in self._cells else self.unseen).get(code)
        of_cell = self.recall(code, cell)
        if of_code is None or of_cell is None:
            return False
        return of_code.share >= (1 + self.chance) / 2 and of_cell.low > self.chance

    def share_called(self, features: Features, code: int) -> float:
        """Return the share of tiles, float32 [n, d], that are called by a code."""
        return float(np.mean(self._fitted.predict(features) == code))


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression  # here: it takes a second, and most processes judge nothing
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=1000))


def _held_back(features: Features, codes: Codes, groups: Codes, weights: NDArray[np.float64]) -> Codes:
    """Call each tile by a classifier that did not learn from it, nor, if groups allow, from its group; int64 [n]."""
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    fewest = min(len(np.unique(groups[codes == code])) for code in np.unique(codes))
    apart = groups if fewest >= NUM_FOLDS else np.arange(len(codes))
    called: Codes = cross_val_predict(
        _classifier(), features, codes, groups=apart,
        cv=StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0),
        params={"logisticregression__sample_weight": weights},
    )  # fmt: skip
    return called


def _unseen(features: Features, codes: Codes, cells: Codes) -> dict[int, Recall]:
    """Hold back one whole cell after another, where its code is in others too; recalls by code."""
    right: dict[int, list[NDArray[np.bool_]]] = {}
    for cell in np.unique(cells):
        held = cells == cell
        code = int(codes[held][0])
        if not np.any(codes[~held] == code):
            continue
        weights = _weights(codes[~held], cells[~held])
        fitted = _classifier().fit(features[~held], codes[~held], logisticregression__sample_weight=weights)
        right.setdefault(code, []).append(fitted.predict(features[held]) == code)
    return {code: _recall(np.concatenate(parts)) for code, parts in right.items()}


def _weights(codes: Codes, cells: Codes) -> NDArray[np.float64]:
    """Give every code the same weight, and every cell of a code the same share of it; mean 1."""
    weights = np.empty(len(codes))
    present = np.unique(codes)
    for code in present:
        of_code = codes == code
        found, counts = np.unique(cells[of_code], return_counts=True)
        each = dict(zip(found.tolist(), (len(codes) / len(present) / len(found) / counts).tolist(), strict=True))
        weights[of_code] = [each[cell] for cell in cells[of_code].tolist()]
    return weights


def _recall(right: NDArray[np.bool_]) -> Recall:
    share = float(right.mean())
    return Recall(share, wilson(share, QUANTILE**2 / len(right))[0], len(right))
