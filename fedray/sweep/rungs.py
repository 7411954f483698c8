"""The memory of ASHA (Li et al. 2018, arXiv 1810.05934): which trials came to which rung, and how they were judged."""

import math
from typing import Literal, NamedTuple

import numpy as np


class _Entry(NamedTuple):
    score: float
    goes_on: bool


class Rungs:
    """Judges each trial once at each rung, beside the trials that came there before it.

    Rungs stand after ``grace_rounds`` rounds, ``reduction_factor`` times as many, and so on below ``num_rounds``. A
    trial goes on if its score is within the best ``1 / reduction_factor`` of those seen at its rung so far; the first
    trial at a rung always does. A trial that comes to a rung again, because it was interrupted and repeats rounds, is
    judged as it was the first time. It pickles, and Ray's ``ASHAScheduler`` decides the same.
    """

    def __init__(
        self, *, grace_rounds: int, reduction_factor: float, num_rounds: int, mode: Literal["min", "max"]
    ) -> None:
        """Start with empty rungs.

        Args:
            grace_rounds: Of the first rung, >= 1.
            reduction_factor: > 1.
            num_rounds: Of a whole trial; there is no rung at its end, where nothing is left to decide.
            mode: Whether low or high scores are good.
        """
        self._share, self._sign = 1 - 1 / reduction_factor, 1.0 if mode == "max" else -1.0
        self._rungs: dict[float, dict[str, _Entry]] = {}
        milestone = float(grace_rounds)
        while milestone < num_rounds:
            self._rungs[milestone] = {}
            milestone *= reduction_factor

    def goes_on(self, trial_id: str, round_index: int, score: float) -> bool:
        """Say whether a trial goes on after a round.

        Args:
            trial_id: Of the trial.
            round_index: The round, 1 for the first.
            score: Of this round; one that is not finite stops the trial, and is not compared with any other.
        """
        reached = [milestone for milestone in self._rungs if milestone <= round_index]
        if not reached:
            return math.isfinite(score)
        rung = self._rungs[reached[-1]]
        if trial_id not in rung:
            rung[trial_id] = self._judged(score, rung)
        return rung[trial_id].goes_on

    def _judged(self, score: float, rung: dict[str, _Entry]) -> _Entry:
        if not math.isfinite(score):
            return _Entry(score, goes_on=False)
        seen = [self._sign * entry.score for entry in rung.values() if math.isfinite(entry.score)]
        return _Entry(score, not seen or bool(self._sign * score >= np.percentile(seen, 100 * self._share)))
