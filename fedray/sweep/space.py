"""Search spaces: what is fixed, what is searched, what is optimised, where to start. One YAML file each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fedray.config import (
    ConfigError,
    ExperimentConfig,
    config_paths,
    find_yaml,
    flatten,
    nearest_name,
    override,
    read_yaml,
    validate,
)
from fedray.sweep.conditions import condition_problems, contexts, is_active, never_searched
from fedray.sweep.constraints import Constraint
from fedray.sweep.dimensions import Declared, Dimension, Value, shown
from fedray.sweep.samplers import SAMPLERS

NOT_SEARCHED: dict[str, str] = {
    "seed": "the luckiest seed would win; run the best trial again with other seeds to see how far its score is luck",
    "federation.num_rounds": "early stopping compares trials at equal rounds, and longer runs score better at a "
    "greater cost; fix it, and run the best trial again for longer",
    "federation.checkpoint_every": "it changes no score",
    "federation.round_timeout_s": "it changes no score",
    "federation.merge_replies": "it changes no score",
    "data.": "scores on different tiles do not compare; run one sweep for each data set",
    "evaluation.": "scores that are measured differently do not compare; run one sweep for each way to measure",
    "task": "scores of tasks do not compare; run one sweep for each",
    "starts_from": "it is read once for all trials; run one sweep for each start",
    "classification.patience": "a sweep stops trials at its own rungs (early_stopping)",
    "classification.validation_share": "it is for classification.patience, and a sweep stops trials at its own rungs",
    "resources.": "it changes no score, and all trials get the same share of the cluster",
    "tracking.": "it changes no score",
}
"""Config paths, or the beginnings of some, that a sweep must not search, each with the reason."""


class Goal(Declared):
    """What a sweep optimises."""

    metric: str
    """Name of a score, such as ``fid/efficientnet-lite0/256``."""
    mode: Literal["min", "max"] = "min"


class EarlyStopping(Declared):
    """ASHA at round level (Li et al. 2020, arXiv 1810.05934)."""

    grace_rounds: int = Field(1, ge=1)
    """Rounds before a trial may be stopped, >= 1."""
    reduction_factor: float = Field(3.0, gt=1.0)
    """At each rung the best 1/factor of the trials go on, > 1."""


class Promotion(Declared):
    """After the search the best trials go on, and are judged at last with other noise."""

    top: int = Field(1, ge=1)
    """Complete trials that go on, >= 1: the best of them."""
    rounds: int = Field(ge=1)
    """Rounds that each does more, >= 1, from the one that it is judged by."""


class SearchSpace(Declared):
    """A whole sweep, declared."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the sweep in MLflow and its folder: letters, digits, dot, dash, underscore."""
    fixed: ExperimentConfig = ExperimentConfig()
    """Experiment configuration of all trials; what is not said has its default."""
    search: dict[str, Dimension] = Field(min_length=1)
    """Searched config paths and their ranges."""
    goals: tuple[Goal, ...] = Field(min_length=1)
    """Scores to optimise; by the first one trials are stopped early and ranked. ``goal: {...}`` is short for one."""
    num_trials: int = Field(ge=1)
    """Trials, >= 1: configurations times ``seeds``."""
    seeds: int = Field(1, ge=1)
    """Seeds that each configuration runs with, a trial each, from ``fixed.seed`` on, >= 1; their mean judges it."""
    spread_weight: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Standard deviations over a configuration's seeds that make its mean worse, >= 0; 0 judges by the mean alone."""
    max_concurrent: int = Field(4, ge=1)
    """Trials at a time at the most, >= 1: the more run at once, the less the sampler knows when it suggests."""
    max_failures: int = Field(2, ge=0)
    """How often a trial is tried again after an error or a lost node, >= 0; more where spot nodes are taken back."""
    sampler: str = "tpe"
    """What suggests the values: the name of one of ``fedray.sweep.samplers.SAMPLERS``."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """When trials are stopped early; ``none``: never."""
    constraints: tuple[str, ...] = ()
    """Bounds that the scores of the best trial keep: ``kid/efficientnet-lite0/256/label/gland <= 5``."""
    score: Literal["best", "last"] = "best"
    """Round that a trial is judged by and whose weights are kept: 'best' is its best evaluated one, 'last' its last."""
    start_from: str | None = None
    """Results folder or address of another finished sweep, whose trials are known points; unset: none are known."""
    promote: Promotion | None = None
    """Have the best trials go on after the search; unset: none does."""
    start_points: tuple[dict[str, Value], ...] = ()
    """Trials to begin with, each with a value for every searched path that it has."""

    @model_validator(mode="before")
    @classmethod
    def _one_goal_is_short(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "goal" not in values:
            return values
        if "goals" in values:
            raise ValueError("goal and goals exclude each other: put all goals into goals, the first one first")
        others = {name: value for name, value in values.items() if name != "goal"}
        return {**others, "goals": [values["goal"]]}

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "none":
            raise ValueError(f"must be none, or have grace_rounds and reduction_factor, but got {value!r}")
        return None if value == "none" else value

    @model_validator(mode="after")
    def _ranges_and_start_points_are_valid(self) -> Self:
        problems = [
            *self._search_problems(),
            *self._goal_problems(),
            *self._constraint_problems(),
            *self._start_point_problems(),
            *self._seed_problems(),
            *self._sampler_problems(),
            *self._stopping_problems(),
            *self._engine_problems(),
            *self._promotion_problems(),
            *self._known_problems(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _search_problems(self) -> list[str]:
        problems, valid = list(condition_problems(self.search)), config_paths()
        problems += [] if problems else never_searched(self.search)
        contexts_known = not problems
        for path, dimension in self.search.items():
            if path not in valid:
                problems.append(f"search.{path} is no config path{nearest_name(path, valid)}")
                continue
            if reasons := [why for start, why in NOT_SEARCHED.items() if path.startswith(start)]:
                problems.append(f"search.{path} cannot be searched: {reasons[0]}")
                continue
            problems += [f"search.{path}: {problem}" for problem in dimension.problems()]
            for value in dimension.examples() if contexts_known else ():
                problems += self._value_problems(self.with_value(path, value))
        return problems

    def _value_problems(self, values: Mapping[str, Value]) -> list[str]:
        try:
            override(self.fixed, values, source="search")
        except ConfigError as error:
            return [f"search.{line.strip(' -')}" for line in str(error).splitlines()[1:]]
        return []

    def _start_point_problems(self) -> list[str]:
        problems = []
        for number, point in enumerate(self.start_points):
            where = f"start_points[{number}]"
            for path, dimension in self.search.items():
                if is_active(dimension, point) and path not in point:
                    problems.append(f"{where} lacks a value for {path}")
            for path, value in point.items():
                if path not in self.search:
                    problems.append(f"{where}: {path} is not searched{nearest_name(path, self.search)}")
                    continue
                dimension = self.search[path]
                if not is_active(dimension, point):
                    problems.append(f"{where}: {path} is not searched with these values (when: {_when(dimension)})")
                elif not dimension.contains(value):
                    problems.append(
                        f"{where}: {path} must be within its search range, but got {shown(value)} (the range is "
                        f"{dimension})"
                    )
        return problems

    def _goal_problems(self) -> list[str]:
        metrics = [goal.metric for goal in self.goals]
        twice = sorted({metric for metric in metrics if metrics.count(metric) > 1})
        return [f"goals must be of different scores, but {metric} stands twice" for metric in twice]

    def _constraint_problems(self) -> list[str]:
        problems = []
        for number, text in enumerate(self.constraints):
            try:
                Constraint.parse(text)
            except ValueError as error:
                problems.append(f"constraints[{number}] {error}")
        return problems

    def _sampler_problems(self) -> list[str]:
        if self.sampler not in SAMPLERS:
            hint = nearest_name(self.sampler, SAMPLERS)
            return [f"sampler must be one of {', '.join(SAMPLERS)}, but got {self.sampler!r}{hint}"]
        if any(dimension.problems() for dimension in self.search.values()) or any(condition_problems(self.search)):
            return []  # what a sampler can do with them is asked when they are right
        return [
            f"sampler {self.sampler} cannot search {self.name}: {problem}"
            for problem in SAMPLERS[self.sampler].problems(self)
        ]

    def _seed_problems(self) -> list[str]:
        problems = []
        if self.num_trials % self.seeds:
            problems.append(
                f"num_trials must be a whole number of times seeds ({self.seeds}), but got {self.num_trials}"
            )
        if self.spread_weight > 0 and self.seeds == 1:
            problems.append("spread_weight must be 0 with a single seed, which has no spread; raise seeds")
        return problems

    def _stopping_problems(self) -> list[str]:
        stopping, num_rounds = self.early_stopping, self.fixed.federation.num_rounds
        if stopping is None or stopping.grace_rounds <= num_rounds:
            return []
        return [
            f"early_stopping.grace_rounds must be <= federation.num_rounds ({num_rounds}), but got "
            f"{stopping.grace_rounds}; early_stopping: none stops no trial"
        ]

    def _engine_problems(self) -> list[str]:
        """Refuse what the workers of a trial cannot do: they stay from trial to trial, and divide no batch."""
        resources, mode = self.fixed.resources, self.fixed.federation.mode
        if resources.engine == "ray-train":
            return [
                "fixed.resources.engine must not be 'ray-train' in a sweep, whose trials share workers; leave it out"
            ]
        if mode == "centralised" and (resources.num_workers or 1) > 1:
            return [
                "fixed.resources.num_workers must be 1 in a sweep with federation.mode 'centralised', whose trials are "
                f"each one client on one worker, but got {resources.num_workers}; leave it out"
            ]
        return []

    def _promotion_problems(self) -> list[str]:
        if self.promote is None:
            return []
        problems = []
        if self.promote.top > self.num_trials:
            problems.append(f"promote.top must be <= num_trials ({self.num_trials}), but got {self.promote.top}")
        if self.fixed.family.stops_after is not None:
            problems.append(
                f"promote cannot go on with trials that fixed.{self.fixed.task}.patience ends; leave one of them out"
            )
        if len(self.goals) > 1 or self.seeds > 1:
            problems.append("promote must be left out with several goals or seeds, of which no trial is the best")
        return problems

    def _known_problems(self) -> list[str]:
        if self.start_from is None or (len(self.goals) == 1 and self.seeds == 1 and not self.constraints):
            return []
        return ["start_from must be left out with several goals or seeds, and with constraints; give one goal alone"]

    @property
    def is_private(self) -> bool:
        """Whether its trials have differential privacy, or some of them may."""
        noises = ("privacy.noise_multiplier", "classification.count_noise")
        return self.fixed.is_private or any(path in self.search for path in noises)

    @property
    def goal(self) -> Goal:
        """The first goal."""
        return self.goals[0]

    @property
    def num_configurations(self) -> int:
        """Configurations that are tried; more where some lose their other seeds to early stopping."""
        return self.num_trials // self.seeds

    @property
    def is_conditional(self) -> bool:
        """Whether some paths are searched with some values of others alone."""
        return any(dimension.when for dimension in self.search.values())

    @property
    def bounds(self) -> list[Constraint]:
        """The constraints, read."""
        return [Constraint.parse(text) for text in self.constraints]

    def with_value(self, path: str, value: Value) -> dict[str, Value]:
        """Return values with which a trial has this one: itself, and those that its conditions ask for."""
        return next(contexts(self.search, path)) | {path: value}

    def trial_config(self, params: Mapping[str, Value]) -> ExperimentConfig:
        """Return the configuration of the trial with these values for the searched paths."""
        return override(self.fixed, params, source=f"a trial of {self.name}").resolved()

    def with_changes(self, fixed: ExperimentConfig, changes: Mapping[str, int | str]) -> "SearchSpace":
        """Return the space with another fixed configuration and other sizes.

        Args:
            fixed: The new fixed configuration.
            changes: New values by field name (``num_trials``, ``start_from``).

        Raises:
            ConfigError: A value is fixed that is searched, or the space becomes invalid.
        """
        before, after = flatten(self.fixed.model_dump()), flatten(fixed.model_dump())
        both = [path for path in self.search if before[path] != after[path]]
        if both:
            raise ConfigError(
                f"{', '.join(both)} is searched by {self.name}, so it cannot be fixed to "
                f"{', '.join(str(after[path]) for path in both)}; leave it out, or take it out of `search` in the "
                "search space's file"
            )
        return validate(
            SearchSpace,
            self.model_dump() | {"fixed": fixed.model_dump(), **changes},
            source=f"the search space {self.name} with the command line's values",
        )


def load_space(path: Path) -> SearchSpace:
    """Read a search space from YAML.

    Raises:
        ConfigError: With every problem of the file.
    """
    return validate(SearchSpace, read_yaml(path), source=str(path))


def find_space(name: Path, folder: Path) -> Path:
    """Return the file of a search space.

    Args:
        name: Its path, or the name of one in ``folder`` (``cgan_hinge`` or ``cgan-hinge``).
        folder: With search spaces.

    Raises:
        ConfigError: There is none of that name.
    """
    return find_yaml(name, folder, "--space")


def _when(dimension: Dimension) -> str:
    return ", ".join(f"{path} is {' or '.join(map(shown, allowed))}" for path, allowed in dimension.when.items())
