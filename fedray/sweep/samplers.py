"""Samplers by name: which spaces each can serve, and Optuna's own that suggests the values."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from fedray.sweep.conditions import combinations
from fedray.sweep.dimensions import Choice, Dimension, Value


class Asked(Protocol):
    """What a sampler is asked to search: a search space, as far as it looks at one."""

    @property
    def search(self) -> Mapping[str, Dimension]:
        """Searched paths and their ranges."""

    @property
    def start_points(self) -> Sequence[Mapping[str, Value]]:
        """Values to begin with."""

    @property
    def goals(self) -> Sequence[object]:
        """What is optimised."""

    @property
    def constraints(self) -> Sequence[str]:
        """Bounds that scores keep."""

    @property
    def num_trials(self) -> int:
        """Configurations times seeds."""

    @property
    def seeds(self) -> int:
        """Of each configuration."""

    @property
    def num_configurations(self) -> int:
        """Configurations that are tried."""

    @property
    def is_conditional(self) -> bool:
        """Whether some paths have conditions."""


class Sampler(Protocol):
    """One that a search space can name."""

    def problems(self, space: Asked) -> Iterator[str]:
        """Say why it cannot serve a space."""

    def first_points(self, space: Asked) -> Sequence[Mapping[str, Value]]:
        """Return the points that are tried before it suggests any."""

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return Optuna's sampler."""


class _Suggesting:
    """What samplers have in common that begin with the start points."""

    def problems(self, space: Asked) -> Iterator[str]:
        """Say nothing: it can serve any space."""
        yield from ()

    def first_points(self, space: Asked) -> Sequence[Mapping[str, Value]]:
        """Return the start points."""
        return space.start_points


@dataclass(frozen=True)
class Tpe(_Suggesting):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), which learns from stopped trials too.

    Attributes:
        multivariate: Whether values are modelled together (Falkner et al. 2018), or each path for itself.
    """

    multivariate: bool

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return Optuna's; trials that still run count as bad: parallel suggestions keep apart.

        Where there are conditions, the paths that trials have together are modelled together.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=num_random(space),
                multivariate=self.multivariate,
                group=self.multivariate and space.is_conditional,
                constant_liar=True,
            )


class Gp(_Suggesting):
    """Gaussian process with the expected improvement (Ament et al. 2023)."""

    def problems(self, space: Asked) -> Iterator[str]:
        """Refuse conditions."""
        yield from _condition_problems(space)

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return Optuna's."""
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=num_random(space))


class CmaEs(_Suggesting):
    """Covariance matrix adaptation (Hansen 2016), with margin for whole numbers and steps (Hamano et al. 2022)."""

    def problems(self, space: Asked) -> Iterator[str]:
        """Refuse what is no number, what it would not learn from, and fewer trials than it needs to learn anything."""
        yield from _condition_problems(space)
        if len(space.goals) > 1:
            yield f"it optimises one goal, not {len(space.goals)}; take tpe, gp or nsgaii"
        if space.constraints:
            yield "it learns nothing of constraints; take tpe, gp or nsgaii"
        choices = [path for path, dimension in space.search.items() if isinstance(dimension, Choice)]
        if choices:
            yield f"it searches numbers alone, no choices ({', '.join(choices)})"
        population = 4 + math.floor(3 * math.log(len(space.search)))  # its default
        fewest = 2 * population + 1
        if space.num_configurations < fewest:
            yield (
                f"it learns from {population} complete trials at a time where {len(space.search)} paths are searched, "
                f"so {_too_few(space, fewest)}"
            )

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return Optuna's."""
        stepped = any(dimension.grid() is not None for dimension in space.search.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.CmaEsSampler(seed=seed, with_margin=stepped, warn_independent_sampling=False)


class NsgaII(_Suggesting):
    """Genetic algorithm for one goal or several (Deb et al. 2002)."""

    def problems(self, space: Asked) -> Iterator[str]:
        """Refuse conditions, and fewer trials than two generations."""
        yield from _condition_problems(space)
        fewest = 2 * _SMALLEST_GENERATION
        if space.num_configurations < fewest:
            yield f"it learns from generations, so {_too_few(space, fewest)}"

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return Optuna's, with four generations or more."""
        size = max(_SMALLEST_GENERATION, min(_LARGEST_GENERATION, space.num_configurations // 4))
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=size)


class Random(_Suggesting):
    """Values drawn independently of all scores."""

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return Optuna's."""
        return optuna.samplers.RandomSampler(seed=seed)


class Grid:
    """Every combination once, in the order of the file: the last path changes fastest.

    They are trials that wait in Optuna's queue. Its own ``GridSampler`` ends a study by an error where trials are asked
    for one by one, and tries a combination twice where several run at a time.
    """

    def problems(self, space: Asked) -> Iterator[str]:
        """Refuse paths without an end of values, start points, and another number of trials than of combinations."""
        endless = [path for path, dimension in space.search.items() if dimension.grid() is None]
        if endless:
            yield f"it needs values to list: give a step, or a choice of values ({', '.join(endless)})"
        if space.start_points:
            yield "it tries every combination, so start_points must be left out"
        most = math.prod(len(dimension.grid() or ()) for dimension in space.search.values())
        if most > _LARGEST_GRID:
            yield f"it has {most:,} combinations, and {_LARGEST_GRID:,} are the most"
        elif not endless and space.num_trials != (num := len(self.first_points(space))) * space.seeds:
            each = f" with {space.seeds} seeds each" if space.seeds > 1 else ""
            yield f"num_trials must be {num * space.seeds}, all {num} combinations{each}, but got {space.num_trials}"

    def first_points(self, space: Asked) -> Sequence[Mapping[str, Value]]:
        """Return all combinations."""
        return combinations(space.search)

    def make(self, space: Asked, seed: int) -> BaseSampler:
        """Return one that is never asked: every trial has its values."""
        return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: dict[str, Sampler] = {
    "tpe": Tpe(multivariate=True),
    "tpe-independent": Tpe(multivariate=False),
    "gp": Gp(),
    "cmaes": CmaEs(),
    "nsgaii": NsgaII(),
    "random": Random(),
    "grid": Grid(),
}
"""Samplers by the name that a search space gives."""


def num_random(space: Asked) -> int:
    """Return how many trials end before a sampler models them: the start points, and random ones."""
    return max(4, len(space.start_points), space.num_configurations // 4)


_SMALLEST_GENERATION, _LARGEST_GENERATION = 4, 50
_LARGEST_GRID = 10_000


def _condition_problems(space: Asked) -> Iterator[str]:
    if conditional := [path for path, dimension in space.search.items() if dimension.when]:
        yield f"it would draw what has conditions at random ({', '.join(conditional)}); take tpe, random or grid"


def _too_few(space: Asked, fewest: int) -> str:
    times = f" ({fewest} times {space.seeds} seeds)" if space.seeds > 1 else ""
    return f"num_trials must be >= {fewest * space.seeds}{times}, but got {space.num_trials}"
