"""The whole judgement of generated tiles: scores, what differs most, and what every report finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from fedray.config import EvaluationConfig
from fedray.evaluation import Evaluator, Scores, interval_names, mode_of
from fedray.evaluation.ceilings import ceilings
from fedray.evaluation.differences import differences
from fedray.reports import REPORTS
from fedray.reports.base import Finding, Judged

OnProgress = Callable[[str], None]
"""Called with what is done next."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is known of generated tiles.

    Attributes:
        judged: The tiles.
        made_by: What made them, in words by words.
        scores: By name, with the ends of their intervals.
        floor: What other real tiles score in their place, by name; empty where the store has too few.
        ceilings: What destroyed real tiles score, by name of the set, then of the score.
        differences: In which statistics they differ from real ones (:func:`fedray.evaluation.differences.differences`).
        findings: By the name of the report, in the order of :data:`fedray.reports.REPORTS`.
    """

    judged: Judged
    made_by: Mapping[str, str]
    scores: Scores
    floor: Scores
    ceilings: Mapping[str, Scores]
    differences: pd.DataFrame
    findings: Mapping[str, Finding]

    @property
    def alarms(self) -> list[str]:
        """Names of the reports that speak against the tiles."""
        return [name for name, finding in self.findings.items() if finding.alarm]

    @property
    def worse(self) -> list[str]:
        """Names of the scores, of all tiles or of a label's, that are worse than what other real tiles score."""
        return [name for name in self.compared if _is_worse(name, self.scores[name], self.floor[name])]

    @property
    def compared(self) -> list[str]:
        """Names of the scores that have a floor."""
        return [name for name in self.scores if mode_of(name) is not None and name in self.floor]


def judge(
    judged: Judged, made_by: Mapping[str, str], evaluator: Evaluator, config: EvaluationConfig, on_progress: OnProgress
) -> Judgement:
    """Score tiles and make all reports on them.

    Args:
        judged: The tiles, as many of each label as the evaluator compares.
        made_by: What made them.
        evaluator: Prepared for the real tiles' store and the configuration.
        config: How they are compared.
        on_progress: Is told of each step.

    Raises:
        EvaluationError: The tiles are not those that the evaluator compares.
    """
    on_progress("scores")
    scores = evaluator.scores_with_intervals(judged.tiles, judged.labels)
    destroyed = ceilings(judged.real.store, config, evaluator)
    on_progress("what differs most")
    different = differences(judged.tiles, judged.real.store, config)
    findings = {}
    for name, report in REPORTS.items():
        on_progress(report.title.lower())
        findings[name] = report.make(judged)
    return Judgement(judged, made_by, scores, evaluator.floor, destroyed, different, findings)


def score_table(scores: Scores, floor: Scores, ceilings: Mapping[str, Scores]) -> pd.DataFrame:
    """Tabulate scores, a row each.

    Args:
        scores: By name, with the ends of intervals where they have some.
        floor: Of real tiles, by name.
        ceilings: Of destroyed ones, by name of the set, then of the score.

    Returns:
        Columns: score (its full name), better ('lower' or 'higher'), value, low and high (its interval, where it has
        one), floor (what real tiles score), and one for each of the ceilings.
    """
    nothing, beside = float("nan"), [floor, *ceilings.values()]
    rows = []
    for name, value in scores.items():
        if (mode := mode_of(name)) is not None:  # the others are ends of intervals
            ends = (scores.get(end, nothing) for end in interval_names(name))
            others = (compared.get(name, nothing) for compared in beside)
            rows.append((name, "lower" if mode == "min" else "higher", value, *ends, *others))
    return pd.DataFrame(rows, columns=["score", "better", "value", "low", "high", "floor", *ceilings])


def _is_worse(name: str, value: float, other: float) -> bool:
    return value > other if mode_of(name) == "min" else value < other
