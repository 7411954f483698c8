"""What came of the trials that went on after a search: rows and words of the sweep's table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedray.evaluation import Scores
from fedray.results.files import PROMOTED_ROUNDS, SCORED_ROUND
from fedray.sweep.constraints import EXCESS
from fedray.sweep.space import SearchSpace

_SEARCH_SCORE, _SEARCH_ROUND, _CHOSEN, _DIVERGED = "search_score", "search_round", "chosen_score", "promotion_diverged"
_SPENT = "promotion-"
"""Beginning of the columns of what the rounds after the search took: the table's others are of the search."""


@dataclass(frozen=True)
class Promoted:
    """What came of a trial that went on after the search."""

    trial: str
    begun_at: int
    """Round that it went on after."""
    rounds: int
    """Rounds done in the end, those until then included."""
    scored_round: int
    chosen_score: float
    """The goal's score for which that round was chosen; NaN where it was not evaluated."""
    scores: Scores
    """Of that round, with other noise."""
    spent: dict[str, float]
    """Sums over the rounds after the search."""
    diverged: str = ""
    """What ended it before its time."""


def with_promotions(space: SearchSpace, trials: pd.DataFrame, promoted: Sequence[Promoted]) -> pd.DataFrame:
    """Say of all trials what the search found, and of those that went on what came of it; these come first.

    Adds the columns ``search_score``, ``search_round``, ``promoted_rounds`` (0 where it did not go on),
    ``chosen_score`` and ``promotion_diverged``.
    """
    if space.promote is None:
        return trials
    went_on = {each.trial: each for each in promoted}
    rows: list[dict[Any, Any]] = [
        _promoted_row(space, row, went_on.get(row["trial"])) for row in trials.to_dict("records")
    ]
    sign = 1 if space.goal.mode == "min" else -1

    def place(row: dict[Any, Any]) -> tuple[bool, float, float]:  # the others stay in their order
        if not row[PROMOTED_ROUNDS]:
            return True, 0.0, 0.0
        return False, row.get(EXCESS, 0.0), sign * row["score"]

    rows.sort(key=place)
    return pd.DataFrame(rows)


def _promoted_row(space: SearchSpace, row: dict[Any, Any], found: Promoted | None) -> dict[Any, Any]:
    before = {_SEARCH_SCORE: row["score"], _SEARCH_ROUND: row[SCORED_ROUND]}
    if found is None:
        return {**row, **before, PROMOTED_ROUNDS: 0, _CHOSEN: None, _DIVERGED: ""}
    return {
        **row,
        **before,
        **found.scores,
        **{_SPENT + name: value for name, value in found.spent.items()},
        "rounds": found.rounds,
        "score": found.scores[space.goal.metric],
        SCORED_ROUND: found.scored_round,
        PROMOTED_ROUNDS: found.rounds - found.begun_at,
        _CHOSEN: found.chosen_score,
        _DIVERGED: found.diverged,
        **({EXCESS: sum(max(0.0, bound.excess(found.scores)) for bound in space.bounds)} if space.bounds else {}),
    }


def as_searched(space: SearchSpace, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the table as the search left it: scores compare at equal rounds alone, and with the noise of all."""
    if PROMOTED_ROUNDS not in trials:
        return trials
    went_on, score = trials[PROMOTED_ROUNDS] > 0, trials[_SEARCH_SCORE]
    rounds = trials["rounds"].mask(went_on, space.fixed.federation.num_rounds)
    return trials.assign(**{"score": score, space.goal.metric: score, "rounds": rounds})


def promotion_lines(trials: pd.DataFrame) -> Iterator[str]:
    """Say of each promoted trial where it went on, what its round was chosen for, and that its score is a new one."""
    if PROMOTED_ROUNDS not in trials:
        return
    for row in trials[trials[PROMOTED_ROUNDS] > 0].to_dict("records"):
        ended = f" Its training diverged there: {row[_DIVERGED]}" if row[_DIVERGED] else ""
        chosen = f"chosen for {row[_CHOSEN]:.4g}" if pd.notna(row[_CHOSEN]) else "its last"
        yield (
            f"Promoted: trial {row['trial']} ({row[_SEARCH_SCORE]:.4g} in the search) went on from round "
            f"{row[_SEARCH_ROUND]:g} to {row['rounds']:g}. Round {row[SCORED_ROUND]:g} is {chosen}, and scores "
            f"{row['score']:.4g} with other noise.{ended}"
        )
