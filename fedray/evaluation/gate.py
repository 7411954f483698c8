"""The gate: may the synthetic tiles of a cell, a label in a domain, be handed out? Asked before anybody trains on them.

Four questions to a cell. **Distance**: are its tiles about as far from the real training tiles of the cell as these are
from each other? **Label**, **domain**: does a classifier that learned from real tiles call them by what they were asked
for, if it knows that of real tiles it did not learn from? **Copies**: do they stand nearer to training tiles than
held-out tiles do? A cell passes if none says no, and distance or label could be asked.

A pair that nobody has, made by recombination, has no real tile to be near to: label, domain and copies alone judge it,
and the verdict says so. Whether a classifier knows a label, or a domain, in a pair that it has not seen is measured by
holding back whole cells; often it does not know the domain, which is not asked then.

All but copies hold tiles against training tiles, halves and folds of them: what is handed out must not be chosen by
the tiles that test who trains on it. Copies need real tiles that nobody learned from, and those are the test split's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.config import GateConfig
from fedray.errors import UserError
from fedray.evaluation.calls import FEWEST, Caller
from fedray.evaluation.intervals import kid_leaving_out
from fedray.evaluation.memorisation import NearerTest
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.base import Features
from fedray.randomness import stream

HALVINGS = 39
"""Of a cell's real tiles: a distance between real tiles is within the smallest and the largest 95 times of 100."""
BLURRED_HALVINGS = 5
"""Those of which one half is blurred, too: it hardly differs from one to the next."""

Says = Literal["passed", "failed", "not asked"]


class GateError(UserError, ValueError):
    """No cell passed the gate, or there is nothing to hold tiles against. The message says why."""


class Check(NamedTuple):
    """One question's answer."""

    name: Literal["distance", "label", "domain", "copies"]
    says: Says
    value: float = np.nan
    """What was measured; NaN where nothing was."""
    limit: float = np.nan
    """The last value that passes: the largest of distance and copies, the smallest of label and domain."""
    about: str = ""
    """What it is held against, or why it is not asked."""


@dataclass(frozen=True)
class CellVerdict:
    """What the gate says of a cell.

    Attributes:
        label: Its code.
        domain: Its code.
        num_real: Real training tiles that it has; 0 of a recombined one.
        num_judged: Generated tiles that were looked at.
        checks: All four.
    """

    label: int
    domain: int
    num_real: int
    num_judged: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether its tiles may be handed out."""
        said = {check.name: check.says for check in self.checks}
        return "failed" not in said.values() and "passed" in (said["distance"], said["label"])

    def why_not(self) -> str:
        """Say what it failed, with value and limit; empty where it passed."""
        if self.passed:
            return ""
        failed = [f"{check.name} {check.value:.3g}, limit {check.limit:.3g}" for check in self.checks
                  if check.says == "failed"]  # fmt: skip
        unknown = [f"{check.name}: {check.about}" for check in self.checks if check.name in ("distance", "label")]
        return "; ".join(failed) or f"nothing says that it is good ({'; '.join(unknown)})"


@dataclass(frozen=True, eq=False)
class RealCell:
    """What the real training tiles of a cell say of distances.

    Attributes:
        features: float32 [n, d].
        floor: Median distance of halves of them.
        high: The largest.
        blurred: Mean distance of one half to the other, blurred by 2 px.
    """

    features: Features
    floor: float
    high: float
    blurred: float


def real_cell(features: Features, blurred: Features, groups: NDArray[np.int64]) -> RealCell:
    """Measure the real tiles of a cell.

    Args:
        features: float32 [n, d], n >= 20 (:data:`fedray.evaluation.calls.FEWEST`).
        blurred: Of the same tiles, blurred.
        groups: int64 [n]; halves keep them whole where there are enough.
    """
    rng = stream(0, "gate", "halvings")
    halvings = [_halved(groups, rng) for _ in range(HALVINGS)]
    among = [distance(features[one], features[~one]) for one in halvings]
    to_blurred = [distance(features[one], blurred[~one]) for one in halvings[:BLURRED_HALVINGS]]
    return RealCell(features, float(np.median(among)), max(among), float(np.mean(to_blurred)))


def distance(some: Features, others: Features) -> float:
    """Kernel distance as :func:`fedray.evaluation.metrics.distances.kid`, of sets that need not be equally large."""
    one, other = (Sample(each, np.zeros(len(each), np.int64)) for each in (some, others))
    return float(kid_leaving_out(one, other, [np.array([], np.int64)])[0])


def _halved(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Say which tiles are in one half: whole groups, unless that would leave less than a quarter of the tiles; [n]."""
    present, places = np.unique(groups, return_inverse=True)
    chosen = np.isin(places, rng.permutation(len(present))[: len(present) // 2])
    if min(chosen.sum(), (~chosen).sum()) < len(groups) / 4:
        chosen = rng.permutation(len(groups)) < len(groups) // 2
    half: NDArray[np.bool_] = chosen
    return half


def distance_check(made: Features, real: RealCell | None, num_real: int, share: float) -> Check:
    """Hold generated tiles against the real ones of their cell.

    Args:
        made: float32 [m, d].
        real: What is known of the cell; None where it has fewer than 20 tiles.
        num_real: Real tiles of the cell.
        share: Of the way from the floor to the blurred tiles that passes beyond the largest distance of real ones.
    """
    if real is None:
        why = "nobody has the pair: recombined" if num_real == 0 else f"{num_real} real tiles, {FEWEST} needed"
        return Check("distance", "not asked", about=why)
    if real.blurred <= real.high:
        return Check("distance", "not asked", about="these features do not see a blur of 2 px")
    value, limit = distance(made, real.features), real.high + share * (real.blurred - real.floor)
    about = f"real {real.floor:.3g}, up to {real.high:.3g}; blurred by 2 px {real.blurred:.3g}"
    return Check("distance", "passed" if value <= limit else "failed", value, limit, about)


def agreement_check(
    name: Literal["label", "domain"], made: Features, code: int, cell: int, caller: Caller | None, share: float
) -> Check:
    """Ask a classifier of real tiles what generated ones are.

    Args:
        name: What it tells.
        made: float32 [m, d].
        code: What they were asked for.
        cell: Their cell.
        caller: The classifier; None where real tiles have one code, or too few of one.
        share: Of its recall of real tiles that passes.
    """
    if caller is None:
        return Check(name, "not asked", about=f"the real tiles have no two {name}s with tiles enough to learn from")
    if (recall := caller.recall(code, cell)) is None:
        return Check(name, "not asked", about=f"too few real tiles have this {name}, or in one cell alone")
    about = f"real tiles {recall.share:.3g} (from {recall.low:.3g}; {recall.num} tiles), chance {caller.chance:.3g}"
    if not caller.tells(code, cell):
        return Check(name, "not asked", about=f"these features do not tell the {name} apart: {about}")
    value, limit = caller.share_called(made, code), share * recall.share
    return Check(name, "passed" if value >= limit else "failed", value, limit, about)


def copies_check(tests: Mapping[str, NearerTest], num_made: int, why_not: str = "") -> Check:
    """Say whether training tiles are copied, by the share of tiles that stand nearer to one than held-out tiles do.

    Args:
        tests: By what distances are measured in; the one nearest to an alarm, or farthest beyond, is shown.
        num_made: Generated tiles.
        why_not: Why it is not asked.
    """
    if why_not:
        return Check("copies", "not asked", about=why_not)
    space, test = max(tests.items(), key=lambda item: item[1].nearer - item[1].alarming)
    says: Says = "failed" if any(test.alarms for test in tests.values()) else "passed"
    about = f"tiles nearer to one training tile than the nearest held-out ones, in {space}"
    return Check("copies", says, test.nearer / num_made, (test.alarming - 1) / num_made, about)


class Gate:
    """Real tiles, measured once; generated ones are judged cell by cell."""

    def __init__(
        self, real: Sample, blurred: Features, groups: NDArray[np.int64], num_domains: int, config: GateConfig
    ) -> None:
        """Measure the real tiles.

        Args:
            real: Training tiles, their labels and domains.
            blurred: Their features once they are blurred by 2 px, float32 [n, d].
            groups: Their patients or slides, int64 [n].
            num_domains: Of all domains.
            config: The limits.
        """
        assert real.domains is not None
        self._config, self._cells = config, real.labels * num_domains + real.domains
        self._num_domains = num_domains
        present, counts = np.unique(self._cells, return_counts=True)
        self._num_real: dict[int, int] = dict(zip(present.tolist(), counts.tolist(), strict=True))
        places = {cell: np.flatnonzero(self._cells == cell) for cell, num in self._num_real.items() if num >= FEWEST}
        self._real = {
            cell: real_cell(real.features[chosen], blurred[chosen], groups[chosen]) for cell, chosen in places.items()
        }
        self._by_label = Caller.learned(real.features, real.labels, self._cells, groups)
        self._by_domain = Caller.learned(real.features, real.domains, self._cells, groups)

    def judge(self, label: int, domain: int, made: Features, copies: Check) -> CellVerdict:
        """Judge a cell.

        Args:
            label: Of the cell.
            domain: Of the cell.
            made: Features of its generated tiles, float32 [m, d].
            copies: Whether they are copies (:func:`copies_check`).
        """
        cell = label * self._num_domains + domain
        num_real = self._num_real.get(cell, 0)
        checks = (
            distance_check(made, self._real.get(cell), num_real, self._config.distance),
            agreement_check("label", made, label, cell, self._by_label, self._config.agreement),
            agreement_check("domain", made, domain, cell, self._by_domain, self._config.agreement),
            copies,
        )
        return CellVerdict(label, domain, num_real, len(made), checks)


def gate_table(
    verdicts: Sequence[CellVerdict], label_names: Sequence[str], domain_names: Sequence[str]
) -> pd.DataFrame:
    """List all answers, a row a cell and question."""
    rows: list[dict[str, Any]] = [
        {
            "label": label_names[verdict.label],
            "domain": domain_names[verdict.domain],
            "handed out": verdict.passed,
            "real tiles": verdict.num_real,
            "judged tiles": verdict.num_judged,
            "check": check.name,
            "says": check.says,
            "value": check.value,
            "limit": check.limit,
            "about": check.about,
        }
        for verdict in verdicts
        for check in verdict.checks
    ]
    return pd.DataFrame(rows)
