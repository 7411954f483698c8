"""What is searched: ranges and choices, their values, and how Optuna draws one."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import combinations
from typing import Annotated, Any, Literal

import optuna
from pydantic import BaseModel, ConfigDict, Field, field_validator

Value = int | float | str | bool | None
"""Of a searched path; None unsets it."""

_ROUNDING = 1e-8  # of a number of steps, as Optuna allows


class Declared(BaseModel):
    """Base of the parts of a search space: immutable, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _Searched(Declared):
    """What all ranges and choices have."""

    when: dict[str, tuple[Value, ...]] = {}
    """Searched paths that stand before this one, each with the value, or the values, with which this one is searched;
    otherwise it is as ``fixed`` says."""

    @field_validator("when", mode="before")
    @classmethod
    def _one_value_or_several(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {path: tuple(v) if isinstance(v, list | tuple) else (v,) for path, v in value.items()}


class FloatRange(_Searched):
    """Real numbers between two bounds, both included."""

    type: Literal["float"]
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    step: float | None = Field(None, allow_inf_nan=False)
    """Only every so much, counted from ``low``, > 0; unset: any number."""
    log: bool = False
    """Search on a logarithmic scale."""

    def __str__(self) -> str:
        """Say the bounds, and the step."""
        return _range_text(self)

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same in Optuna's terms."""
        return optuna.distributions.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_float(path, self.low, self.high, step=self.step, log=self.log)

    def problems(self) -> list[str]:
        """Say what is wrong with the range."""
        return _range_problems(self, self.step)

    def examples(self) -> Sequence[Value]:
        """Return the bounds: where they are valid values, all in between are."""
        return (self.low, self.high)

    def grid(self) -> Sequence[Value] | None:
        """List all values; None without a step, when there are too many to list."""
        if self.step is None:
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))  # 0.1 + 2 * 0.1 is 0.3 in decimals alone
        return [float(low + number * step) for number in range(round((self.high - self.low) / self.step) + 1)]

    def contains(self, value: Any) -> bool:
        """Say whether a value is in the range, and on a step."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (self.step is None or _on_step(self, self.step, value))


class IntRange(_Searched):
    """Whole numbers between two bounds, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: int = 1
    """Only every so many, counted from ``low``, >= 1."""
    log: bool = False
    """Search on a logarithmic scale."""

    def __str__(self) -> str:
        """Say the bounds, and the step."""
        return _range_text(self)

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same in Optuna's terms."""
        return optuna.distributions.IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_int(path, self.low, self.high, step=self.step, log=self.log)

    def problems(self) -> list[str]:
        """Say what is wrong with the range."""
        return _range_problems(self, None if self.step == 1 else self.step)

    def examples(self) -> Sequence[Value]:
        """Return the bounds."""
        return (self.low, self.high)

    def grid(self) -> Sequence[Value]:
        """List all values."""
        return range(self.low, self.high + 1, self.step)

    def contains(self, value: Any) -> bool:
        """Say whether a value is in the range, and on a step."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0


class Choice(_Searched):
    """One of several values without order."""

    type: Literal["choice"]
    values: tuple[Value, ...] = Field(min_length=1)
    """At least one; ``null`` unsets the path."""

    def __str__(self) -> str:
        """Say the values."""
        return ", ".join(shown(value) for value in self.values)

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same in Optuna's terms."""
        return optuna.distributions.CategoricalDistribution(self.values)

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_categorical(path, self.values)

    def problems(self) -> list[str]:
        """Say which values cannot be told apart: 1, 1.0 and true are equal."""
        twice = [pair for pair in combinations(self.values, 2) if pair[0] == pair[1]]
        return [f"values must differ, but got {shown(one)} and {shown(other)}" for one, other in twice]

    def examples(self) -> Sequence[Value]:
        """Return all values."""
        return self.values

    def grid(self) -> Sequence[Value]:
        """List all values."""
        return self.values

    def contains(self, value: Any) -> bool:
        """Say whether a value is one of them."""
        return value in self.values


Dimension = Annotated[FloatRange | IntRange | Choice, Field(discriminator="type")]


def shown(value: Value) -> str:
    """Say a value as a search space has it: ``null``, ``true``."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range_text(of: FloatRange | IntRange) -> str:
    return f"{of.low} to {of.high}" if of.step in (None, 1) else f"{of.low} to {of.high} in steps of {of.step}"


def _range_problems(of: FloatRange | IntRange, step: float | None) -> list[str]:
    problems = []
    if of.low > of.high:
        problems.append(f"low must be <= high, but got {of.low} > {of.high}")
    if of.log and of.low <= 0:
        problems.append(f"low must be > 0 on a log scale, but got {of.low}")
    if step is None:
        return problems
    if of.log:
        problems.append(f"step must be left out on a log scale, but got {step}; or list the values as a choice")
    if step <= 0:
        problems.append(f"step must be > 0, but got {step}")
    elif of.low <= of.high and not _on_step(of, step, of.high):
        problems.append(f"high must be low and a whole number of steps, but got {of.low}, {of.high}, {step}")
    return problems


def _on_step(of: FloatRange | IntRange, step: float, value: float) -> bool:
    steps = (value - of.low) / step
    return abs(steps - round(steps)) < _ROUNDING
