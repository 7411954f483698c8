"""Trials of another sweep as known points of a new one: what its sampler knows before it suggests anything."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import TypeAdapter

from fedray.config import ConfigError, ExperimentConfig, flatten, override, validate
from fedray.results.basis import FEDRAY, FORMAT, OTHER_TILES, START, Basis, changes
from fedray.results.finished import SweepTable, sweep_table
from fedray.results.kept import trial_values
from fedray.sweep.conditions import active
from fedray.sweep.dimensions import Dimension, shown
from fedray.sweep.space import SearchSpace

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
_MAY_DIFFER = (
    "seed", "starts_from", "data.store", "resources.", "tracking.", "federation.checkpoint_every",
    "federation.round_timeout_s", "federation.merge_replies",
)  # fmt: skip
"""Config paths, or the beginnings of some, that change no score, or are compared by content."""


@dataclass(frozen=True)
class Known:
    """What another sweep's trials say of a space."""

    trials: tuple[FrozenTrial, ...]
    """The usable ones: complete with their score, or stopped early with that of their last round."""
    words: str
    """How many were usable, why the others were not, and which ranges were others."""


def known_trials(space: SearchSpace, basis: Basis) -> Known | None:
    """Read the trials that a space starts from; None where it starts from none.

    A trial is usable where its whole configuration is one of the space's own, but for its seed and what changes no
    score: values of what was searched, or fixed, there must be in the ranges here, or what is fixed here.

    Args:
        space: With all that the data decide filled in.
        basis: What its trials rest on, as far as it is known.

    Raises:
        ConfigError: Scores there do not compare, or no trial is usable.
        ResultsError: No finished sweep is there.
    """
    if space.start_from is None:
        return None
    there = sweep_table(space.start_from)
    if problems := [*_other_scores(space, there.started), *_other_basis(there.rests_on, basis)]:
        raise ConfigError(
            f"start_from {space.start_from}: its scores do not compare with those of {space.name}: "
            f"{'; '.join(problems)}; start without it"
        )
    fixed = validate(ExperimentConfig, there.started["fixed"], source=str(space.start_from))
    found, lost = [], Counter[str]()
    for _, row in there.trials.iterrows():
        taken = _known_trial(space, there, fixed, row)
        if isinstance(taken, str):
            lost[taken] += 1
        else:
            found.append(taken)
    words = _words(space, there, len(found), lost)
    if not found:
        raise ConfigError(f"{words}; start without it, or search where it did")
    return Known(tuple(found), words)


def _known_trial(
    space: SearchSpace, there: SweepTable, fixed: ExperimentConfig, row: "pd.Series[Any]"
) -> FrozenTrial | str:
    """Return a trial in the terms of a space, or why it is none of it."""
    if row["outcome"] not in _STATES:
        return str(row["outcome"])
    values = trial_values(row, there.started["search"], fixed.federation.num_rounds)
    values["federation.num_rounds"] = fixed.federation.num_rounds  # not those of the round that is scored
    theirs = _flat(override(fixed, values, source=str(space.start_from)))
    params = active(space.search, {path: theirs[path] for path in space.search})
    for path, value in params.items():
        if not space.search[path].contains(value):
            return f"{path} {shown(value)} is not in {space.search[path]}"
    ours = _flat(space.trial_config(params))
    for path, value in ours.items():
        if theirs.get(path) != value and not path.startswith(_MAY_DIFFER):
            return f"{path} was {theirs.get(path)!r} there, and is {value!r} here"
    state, rounds = _STATES[str(row["outcome"])], int(row["rounds"])
    searched = row.get("search_score")
    score = float(row["score"] if searched is None or pd.isna(searched) else searched)
    return create_trial(
        state=state,
        value=score if state is TrialState.COMPLETE else None,
        params=params,
        distributions={path: space.search[path].distribution() for path in params},
        intermediate_values={rounds: score} if state is TrialState.PRUNED else {},
        user_attrs={"known_from": space.start_from, "known_as": str(row["trial"])},
    )


def _flat(config: ExperimentConfig) -> dict[str, Any]:
    return flatten(config.resolved().model_dump(mode="json"))


def _other_scores(space: SearchSpace, started: Mapping[str, Any]) -> list[str]:
    """Say where scores of a sweep are others by their name, direction, or round."""
    goals = started.get("goals") or [started["goal"]]
    if len(goals) > 1 or started.get("seeds", 1) > 1:
        return ["it has several goals or seeds"]
    ours = {"goal": space.goal.model_dump(mode="json"), "score": space.score}
    there = flatten({"goal": goals[0], "score": started.get("score", "last")})
    differ = {path: value for path, value in flatten(ours).items() if there[path] != value}
    return [f"{path} is {there[path]!r} there, and {value!r} here" for path, value in differ.items()]


def _other_basis(theirs: Basis, ours: Basis) -> list[str]:
    """Say which tiles, weights or features are others. What all networks begin with counts where neither has any."""
    known = {name: value for name, value in ours.items() if name not in (FEDRAY, FORMAT)}
    found = [each.partition(";")[0] for each in changes(theirs, known)]
    lacking = [name for name in (START, OTHER_TILES) if (name in ours) != (name in theirs)]
    return found + [f"there is a {name} on one side alone" for name in lacking]


def _words(space: SearchSpace, there: SweepTable, num_found: int, lost: Mapping[str, int]) -> str:
    total = num_found + sum(lost.values())
    why = "; ".join(f"{number} not: {reason}" for reason, number in lost.items())
    told = f"start_from {space.start_from}: {num_found} of its {total} trials are known points"
    return f"{told}{f' ({why})' if why else ''}{''.join(_other_ranges(space, there.started['search']))}"


def _other_ranges(space: SearchSpace, theirs: Mapping[str, Any]) -> Iterator[str]:
    for path, dimension in space.search.items():
        before = str(TypeAdapter(Dimension).validate_python(theirs[path])) if path in theirs else "fixed"
        if before != str(dimension):
            yield f"; {path} was {before} there, and is {dimension} here"
