"""Searched values on an axis of a chart: numbers on the scale that they are searched on, choices side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedray.reports.charts import MUTED
from fedray.sweep.dimensions import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 20.0  # times: scores that lie so far apart are drawn on a logarithmic axis


@dataclass(frozen=True)
class Values:
    """Values of one parameter.

    Attributes:
        path: Of the parameter.
        places: On the axis, float64 [trial]; of a logarithmic range the logarithm to the base 10.
        choices: Words of a choice, by their place; None where it is a number.
        log: Whether the range is logarithmic.
    """

    path: str
    places: NDArray[np.float64]
    choices: tuple[str, ...] | None
    log: bool

    @property
    def name(self) -> str:
        """The last word of the path."""
        return self.path.rpartition(".")[2]


def values_of(path: str, dimension: Any, values: Sequence[Any]) -> Values:
    """Place values on an axis.

    Args:
        path: Of the parameter.
        dimension: Its range in the search space.
        values: Of the trials.
    """
    if not hasattr(dimension, "low"):
        choices = tuple(dict.fromkeys(map(shown, (*dimension.values, *values))))
        return Values(path, np.asarray([choices.index(shown(value)) for value in values], np.float64), choices, False)
    numbers, log = np.asarray(values, np.float64), bool(getattr(dimension, "log", False))
    return Values(path, np.log10(numbers) if log else numbers, None, log)


def name_axis(axis: "Axes", values: Values, which: str) -> None:
    """Write a parameter's name and its values beside the axis ``x`` or ``y``."""
    side = axis.xaxis if which == "x" else axis.yaxis
    side.set_label_text(values.name, fontsize=8, color=MUTED, parse_math=False)
    if values.choices is not None:
        side.set_ticks(range(len(values.choices)), list(values.choices), parse_math=False)
    elif values.log:
        side.set_major_formatter(lambda place, _: f"{10.0**place:.2g}")
    axis.tick_params(axis="x" if which == "x" else "y", labelsize=7.5)


def is_wide(scores: Sequence[float]) -> bool:
    """Say whether scores lie so far apart that they are read on a logarithmic axis alone."""
    finite = [score for score in scores if np.isfinite(score)]
    return bool(finite) and min(finite) > 0.0 and max(finite) > _WIDE * min(finite)


def in_sight(floor: float, scores: Sequence[float]) -> float:
    """Return the floor where it lies near scores, else NaN: far off, it would press them into a line."""
    finite = [score for score in scores if np.isfinite(score)]
    if not finite:
        return np.nan
    span = max(finite) - min(finite)
    return floor if min(finite) - span <= floor <= max(finite) + span else np.nan


def score_axis(axis: "Axes", scores: Sequence[float], words: str) -> None:
    """Set up the axis ``y`` for scores."""
    if is_wide(scores):
        axis.set_yscale("log")
    axis.set_ylabel(words.replace(" (", "\n("), fontsize=8, color=MUTED, parse_math=False)
    axis.tick_params(axis="y", which="both", labelsize=7.5)
