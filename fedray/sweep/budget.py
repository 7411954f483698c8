"""What a sweep will take, said before it starts: tiles and steps of its trials, seconds, and a warning."""

import math
from collections.abc import Iterator
from itertools import islice, product

from fedray.cluster import plan_workers
from fedray.config import ExperimentConfig
from fedray.experiment.budget import (
    ON_TOP,
    round_seconds,
    sampling_lines,
    short_training,
    step_lines,
    time_basis,
    timed_step,
)
from fedray.federation.budget import step_budget
from fedray.sweep.conditions import active
from fedray.sweep.plan import SweepPlan
from fedray.sweep.space import SearchSpace
from fedray.tasks import task_of
from fedray.terminal import clock

_MOST_TRIALS = 64  # combinations of searched values that are looked at


def sweep_budget_lines(space: SearchSpace, plan: SweepPlan) -> Iterator[str]:
    """Say what a sweep will take, a line each, as :func:`fedray.experiment.budget.budget_lines` of its trials.

    Seconds are those of the first start point, or of the fixed configuration where there is none.

    Args:
        space: With all that the data decide filled in.
        plan: What a trial gets, and how many run at a time.
    """
    trials = _trials(space)
    yield from step_lines([step_budget(trial) for trial in trials], task_of(space.fixed).COUNTED)
    first, num_rounds = trials[0], space.fixed.federation.num_rounds
    budget = step_budget(first)
    step = timed_step(first, budget, plan.workers)
    round_s = round_seconds(first, budget, step, plan.workers)
    trial_s = num_rounds * round_s
    total_s = math.ceil(space.num_trials / plan.concurrent_trials) * trial_s
    like = "the first start point" if space.start_points else "what is fixed"
    yield (
        f"budget: at the most about {clock(total_s)} of training: {space.num_trials} trials of {clock(trial_s)}, "
        f"{plan.concurrent_trials} at a time, if all are like {like} and none is stopped early; {ON_TOP}"
    )
    if space.promote is not None:
        workers = plan_workers(space.fixed, plan.cluster)
        more_s = space.promote.rounds * round_seconds(first, budget, step, workers)
        yield (
            f"budget: at the most about {clock(space.promote.top * more_s)} on top for promotion: {space.promote.top} "
            f"trial(s), one after another, of {space.promote.rounds} rounds more, each with {workers.num_workers} "
            "worker(s)"
        )
    yield time_basis(step, plan.workers)
    yield from sampling_lines(first, round_s)
    yield from short_training(trials, space.search)


def _trials(space: SearchSpace) -> list[ExperimentConfig]:
    """List configurations of trials: the first start point, then those that differ most in their number of steps."""
    start = dict(space.start_points[0]) if space.start_points else {}
    own = tuple(f"{space.fixed.task}.{field}" for field in task_of(space.fixed).STEP_FIELDS)
    searched = [path for path in space.search if path.startswith(("federation.", "partition.", *own))]
    found = [space.trial_config(start)]
    for values in islice(product(*(space.search[path].examples() for path in searched)), _MOST_TRIALS):
        trial = active(space.search, start | dict(zip(searched, values, strict=True)))
        found.append(space.trial_config(trial))
    return found
