"""Constraints: bounds on scores that the best trial must keep, as text (``kid/.../label/gland <= 5``)."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple, Self

_FORM = re.compile(r"(?P<metric>\S.*\S)\s*(?P<sign><=|>=)\s*(?P<bound>\S+)")

EXCESS = "excess"
"""Column of a sweep's table, where it has constraints: by how much each trial breaks them, the shares of the bounds
added up; 0 where it keeps all, nothing where its scores are not known."""


class Constraint(NamedTuple):
    """A bound on a score."""

    metric: str
    """Name of the score."""
    sign: str
    """``<=`` or ``>=``."""
    bound: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it.

        Raises:
            ValueError: It is no score, sign and number.
        """
        form = _FORM.fullmatch(text.strip())
        try:
            bound = float(form["bound"]) if form else math.nan
        except ValueError:
            bound = math.nan
        if form is None or not math.isfinite(bound):
            raise ValueError(f"must be a score, <= or >=, and a number, but got {text!r}")
        return cls(form["metric"], form["sign"], bound)

    def __str__(self) -> str:
        """Write it so that :meth:`parse` reads it."""
        return f"{self.metric} {self.sign} {self.bound}"

    @property
    def mode(self) -> str:
        """Which values keep it sooner: ``min`` or ``max``."""
        return "min" if self.sign == "<=" else "max"

    def excess(self, scores: Mapping[str, float]) -> float:
        """Say how far scores are beyond the bound, as a share of it (of 1, where it is 0); <= 0 where it is kept.

        A share, because samplers add up those of several constraints.

        Args:
            scores: By name.

        Returns:
            NaN where the score is not there.
        """
        beyond = scores.get(self.metric, math.nan) - self.bound
        return (beyond if self.sign == "<=" else -beyond) / (abs(self.bound) or 1.0)
