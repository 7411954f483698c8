"""What a sweep took, and where its time went, by the times of its rounds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd

from fedray.sweep.searcher import CORE_SECONDS, GPU_SECONDS, SCORING_SECONDS, TIMES, TRAINING_SECONDS

PAUSE_S = 120.0
"""Seconds without any round from which on the sweep is taken to have been stopped meanwhile."""


class Round(NamedTuple):
    """A round of a trial, repeated ones too."""

    trial: str
    number: int
    begun: float
    """Seconds of the epoch."""
    ended: float
    """Seconds of the epoch."""


def rounds_of(study: optuna.Study) -> list[Round]:
    """List the rounds of all trials, earliest first; none of a sweep that did not record their times."""
    rounds = [
        Round(str(trial.user_attrs["trial_id"]), int(index), begun, ended)
        for trial in study.get_trials(deepcopy=False)
        for index, begun, ended in trial.user_attrs.get(TIMES, [])
    ]
    return sorted(rounds, key=lambda each: each.begun)


def since_start(rounds: Sequence[Round]) -> tuple[list[Round], float]:
    """Count times from the first round on, and leave out the pauses in which the sweep was stopped.

    Args:
        rounds: Earliest first.

    Returns:
        The same rounds in seconds of the sweep, and the seconds of all pauses.
    """
    moved, paused, reached = list[Round](), 0.0, rounds[0].begun if rounds else 0.0
    start = reached
    for each in rounds:
        if each.begun - reached > PAUSE_S:
            paused += each.begun - reached
        reached = max(reached, each.ended)
        moved.append(each._replace(begun=each.begun - start - paused, ended=each.ended - start - paused))
    return moved, paused


@dataclass(frozen=True)
class Spent:
    """Seconds of a sweep, from its first round to its last, without pauses."""

    wall_s: float
    paused_s: float
    lanes: int
    """Trials at a time, at the most."""
    training_s: float
    """Of all trials together, as what follows."""
    scoring_s: float
    other_s: float
    """Of rounds, for what is neither: pictures, tracking, the way there and back."""
    waiting_s: float
    """Between rounds and trials, and of lanes without a trial: checkpoints, starting workers, the end of the sweep."""
    core_s: float
    """Seconds of rounds, times the cores that the trial's workers held."""
    gpu_s: float


def spent(rounds: Sequence[Round], trials: pd.DataFrame) -> Spent | None:
    """Add up what a sweep took; None of one that did not record it.

    Args:
        rounds: Of all trials, earliest first.
        trials: The sweep's table.
    """
    if not rounds or TRAINING_SECONDS not in trials:
        return None
    moved, paused = since_start(rounds)
    wall, busy = max(each.ended for each in moved), sum(each.ended - each.begun for each in moved)
    training, scoring = _sum(trials, TRAINING_SECONDS), _sum(trials, SCORING_SECONDS)
    lanes = _most_at_once(moved)
    return Spent(
        wall_s=wall,
        paused_s=paused,
        lanes=lanes,
        training_s=training,
        scoring_s=scoring,
        other_s=max(0.0, busy - training - scoring),
        waiting_s=max(0.0, lanes * wall - busy),
        core_s=_sum(trials, CORE_SECONDS),
        gpu_s=_sum(trials, GPU_SECONDS),
    )


def _most_at_once(rounds: Iterable[Round]) -> int:
    """Count how many trials had begun and not ended at the busiest moment."""
    spans: dict[str, tuple[float, float]] = {}
    for each in rounds:
        begun, ended = spans.get(each.trial, (each.begun, each.ended))
        spans[each.trial] = min(begun, each.begun), max(ended, each.ended)
    begins = sorted(begun for begun, _ in spans.values())
    ends = np.sort([ended for _, ended in spans.values()])
    return max(place + 1 - int(np.searchsorted(ends, begun, "right")) for place, begun in enumerate(begins))


def _sum(trials: pd.DataFrame, name: str) -> float:
    values: Any = trials[name] if name in trials else pd.Series(dtype=float)
    return float(values.sum())
