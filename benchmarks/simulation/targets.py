"""What FedRay is to reach in a case, and the row of the table that says whether it does."""

from dataclasses import dataclass
from typing import Protocol

from benchmarks.simulation.results import FEDRAY, FLOOR, STOCK, Results
from benchmarks.tables import format_seconds

_NONE = "-"
HEADER = ("case", "FedRay", "Flower stock", "floor", "floor / workers", "ratio", "target", "met")


class Target(Protocol):
    """A figure and its limit."""

    def row(self, case: str, results: Results, num_workers: int) -> tuple[str, ...]:
        """Return the cells of a table row, in the order of the header."""
        ...


@dataclass(frozen=True)
class FasterThanStock:
    """A round on Flower's engine takes at least ``factor`` times as long."""

    factor: float

    def row(self, case: str, results: Results, num_workers: int) -> tuple[str, ...]:
        """Compare the medians of each repeat."""
        ratio = results.times_as_fast(case, FEDRAY, STOCK)
        shown = _NONE if ratio is None else f"{ratio:.3g}x as fast"
        return (
            f"{case}, a round",
            *_durations(case, results, num_workers),
            shown,
            f">= {self.factor:g}x as fast",
            _verdict(None if ratio is None else ratio >= self.factor),
        )


@dataclass(frozen=True)
class CloseToCompute:
    """A round takes at most ``factor`` times the clients' own time, shared out evenly among the workers."""

    factor: float

    def row(self, case: str, results: Results, num_workers: int) -> tuple[str, ...]:
        """Compare a round with its own clients' time."""
        ratio, stock = (results.times_compute(case, engine, num_workers) for engine in (FEDRAY, STOCK))
        shown = _NONE if ratio is None else f"{ratio:.3g}x compute"
        return (
            f"{case}, a round",
            *_durations(case, results, num_workers),
            shown if stock is None else f"{shown} (stock {stock:.3g}x)",
            f"<= {self.factor:.2f}x compute",
            _verdict(None if ratio is None else ratio <= self.factor),
        )


@dataclass(frozen=True)
class CopiesOfModel:
    """The driver's private memory grows by at most ``limit`` copies of the model."""

    limit: float
    model_mb: float

    def row(self, case: str, results: Results, num_workers: int) -> tuple[str, ...]:
        """Compare the peaks."""
        peak = results.peak_memory_mb(case, FEDRAY)
        return (
            f"{case}, driver's memory",
            *(_megabytes(results.peak_memory_mb(case, engine)) for engine in (FEDRAY, STOCK, FLOOR)),
            _NONE,
            _NONE if peak is None else f"{peak / self.model_mb:.2g} copies of the model",
            f"<= {self.limit:g} copies",
            _verdict(None if peak is None else peak <= self.limit * self.model_mb),
        )


@dataclass(frozen=True)
class MemoryGrowth:
    """The driver's private memory grows by less than ``limit_mb`` over the rounds."""

    limit_mb: float

    def row(self, case: str, results: Results, num_workers: int) -> tuple[str, ...]:
        """Look at the peaks of the rounds."""
        growth = results.memory_growth_mb(case, FEDRAY)
        return (
            f"{case}, a round",
            *_durations(case, results, num_workers),
            _NONE if growth is None else f"driver +{growth:.0f} MB",
            f"driver < +{self.limit_mb:g} MB",
            _verdict(None if growth is None else growth < self.limit_mb),
        )


@dataclass(frozen=True)
class WithinSeconds:
    """It takes at most ``limit_s``."""

    limit_s: float

    def row(self, case: str, results: Results, num_workers: int) -> tuple[str, ...]:
        """Look at the median."""
        seconds, stock = results.seconds(case, FEDRAY), results.seconds(case, STOCK)
        ratio = _quotient(stock, seconds)
        return (
            f"{case}, to its first round",
            *_durations(case, results, num_workers),
            _NONE if ratio is None else f"{ratio:.3g}x as fast",
            f"<= {format_seconds(self.limit_s)}",
            _verdict(None if seconds is None else seconds <= self.limit_s),
        )


def _durations(case: str, results: Results, num_workers: int) -> tuple[str, ...]:
    """Return four cells: FedRay, Flower's engine, the floor, and the floor over the number of workers."""
    floor = results.seconds(case, FLOOR)
    medians = (results.seconds(case, FEDRAY), results.seconds(case, STOCK), floor, _quotient(floor, num_workers))
    return tuple(_NONE if seconds is None else format_seconds(seconds) for seconds in medians)


def _quotient(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or denominator is None else numerator / denominator


def _megabytes(amount: float | None) -> str:
    return _NONE if amount is None else f"{amount:.0f} MB"


def _verdict(met: bool | None) -> str:
    return _NONE if met is None else "yes" if met else "**no**"
