"""How far an experiment is: each round in one line of a terminal, with the time that is gone and left."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fedray.config import ExperimentConfig
from fedray.evaluation import is_of_all_tiles
from fedray.experiment.engines import RoundResult
from fedray.tasks import task_of
from fedray.terminal import clock

LINE_LENGTH = 120
"""Columns of a line at the most."""


class _Column(NamedTuple):
    heading: str
    metric: str
    """How its name begins."""
    form: str
    width: int


_SCORES = (
    _Column("fid", "fid/", ".4g", 8),
    _Column("kid", "kid/", ".3g", 8),
    _Column("c2st", "c2st/", ".3f", 5),
    _Column("cover", "coverage/", ".2f", 4),
    _Column("bal.acc", "balanced-accuracy/", ".3f", 5),
    _Column("F1", "macro-f1/", ".3f", 5),
    _Column("AUROC", "auroc/", ".3f", 5),
    _Column("worst", "worst-cell-recall/", ".3f", 5),
    _Column("ext.acc", "balanced-accuracy/external", ".3f", 5),
)
_EPSILON = _Column("eps", "privacy/epsilon", ".3g", 5)
_VALIDATION = _Column("val", "validation/loss", ".3g", 8)


class RoundLines:
    """Says each round in one line: scores, epsilon, the networks' losses, the time that is gone and left.

    Lines stand below each other in fixed columns, whether a round was evaluated or not. All figures, at their full
    length, are in ``results.parquet`` and in MLflow.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        score_names: Iterable[str],
        length: int = LINE_LENGTH,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count the time.

        Args:
            config: Of the experiment.
            score_names: Of the scores that an evaluation will give: those that have a column get it from the first line
                on.
            length: Columns of a line at the most; the last figures give way, the times stay.
            now_s: A clock, in seconds.
        """
        names = [name for name in score_names if is_of_all_tiles(name)]
        self._scores = {column: _first(names, column.metric) for column in _SCORES}
        losses = [_Column(word, f"loss/{network}/loss", ".3g", 9) for word, network in task_of(config).LOSSES.items()]
        self._others = (_EPSILON, *losses, _VALIDATION)
        self._num_rounds, self._length = config.federation.num_rounds, length
        self._left = TimeLeft(config, now_s)

    def line(self, result: RoundResult) -> str:
        """Say the round that has just ended."""
        head = f"round {result.report.round_index:>{len(str(self._num_rounds))}}/{self._num_rounds}"
        left_s = self._left.after(result)
        tail = f"  {clock(self._left.gone_s):>7} gone  {clock(left_s):>7} left"
        cells = [_cell(column, result.metrics.get(name), keep=True) for column, name in self._scores.items() if name]
        cells += [_cell(column, result.metrics.get(column.metric), keep=False) for column in self._others]
        while cells and len(head) + sum(map(len, cells)) + len(tail) > self._length:
            cells.pop()
        return "".join([head, *cells, tail])


class TimeLeft:
    """Estimates how long the rest of an experiment takes, from the rounds and evaluations of this process."""

    def __init__(self, config: ExperimentConfig, now_s: Callable[[], float]) -> None:
        """Begin to count.

        Args:
            config: Of the experiment.
            now_s: A clock, in seconds.
        """
        self._num_rounds, self._every = config.federation.num_rounds, config.evaluation.every
        self._now_s, self._started, self._last = now_s, now_s(), 0.0
        self._rounds_s: list[float] = []
        self._evaluations_s: list[float] = []

    @property
    def gone_s(self) -> float:
        """Seconds from the start to the last round."""
        return self._last - self._started

    def after(self, result: RoundResult) -> float:
        """Return the seconds left after a round that has just ended."""
        now, before = self._now_s(), self._last
        evaluation_s = result.evaluation.seconds if result.evaluation else 0.0
        # What was before the first round (workers that start) does not come again.
        round_s = now - before - evaluation_s if self._rounds_s else result.report.duration_s
        self._last = now
        self._rounds_s.append(round_s)
        if result.evaluation:
            self._evaluations_s.append(evaluation_s)
        done = result.report.round_index
        return (self._num_rounds - done) * _usual(self._rounds_s) + self._due_after(done) * _usual(self._evaluations_s)

    def _due_after(self, done: int) -> int:
        """Count the evaluations that are left: every so many rounds, and after the last."""
        whole = self._num_rounds // self._every - done // self._every
        return whole + (self._num_rounds % self._every > 0 and done < self._num_rounds)


def _usual(seconds: list[float]) -> float:
    """Return the mean without the first, where there are others: caches and networks were still cold."""
    counted = seconds[1:] or seconds
    return max(0.0, sum(counted) / len(counted)) if counted else 0.0


def _first(names: Iterable[str], beginning: str) -> str:
    return next((name for name in names if name.startswith(beginning)), "")


def _cell(column: _Column, value: float | None, *, keep: bool) -> str:
    """Write a column's cell; without a value it is blank, or (keep=False) left out."""
    if value is None:
        return " " * (len(column.heading) + column.width + 3) if keep else ""
    return f"  {column.heading} {value:<{column.width}{column.form}}"
