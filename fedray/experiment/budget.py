"""What an experiment will take, said before it starts: tiles, steps, seconds, and what they are enough for."""

import math
import platform
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np

from fedray.config import ExperimentConfig
from fedray.data import training_sizes
from fedray.experiment.timed import StepTime, time_steps, time_tiles
from fedray.federation.budget import StepBudget, step_budget, steps_in_a_row
from fedray.federation.rounds import round_of
from fedray.federation.sampling import num_sampled
from fedray.simulation import WorkerResources
from fedray.tasks import task_of
from fedray.terminal import clock

ON_TOP = "start, averaging and evaluation come on top"

_LARGEST = 10**7  # a remedy beyond it is none
_NOTABLE_S, _NOTABLE = 1.0, 0.1  # and share of the training: from there on the tiles of an evaluation are told of


def budget_lines(config: ExperimentConfig, workers: WorkerResources, rounds_done: int = 0) -> Iterator[str]:
    """Say what an experiment will take, a line each: tiles, steps, seconds; and what they are enough for.

    Args:
        config: With all that was unset filled in.
        workers: That it will have.
        rounds_done: Before it goes on.
    """
    budget = step_budget(config)
    yield from step_lines([budget], task_of(config).COUNTED)
    step, rounds = timed_step(config, budget, workers), config.federation.num_rounds - rounds_done
    round_s = round_seconds(config, budget, step, workers)
    yield (
        f"budget: about {clock(rounds * round_s)} of training: {rounds} rounds of {_short(round_s)} with "
        f"{workers.num_workers} worker(s); {ON_TOP}"
    )
    yield time_basis(step, workers)
    yield from sampling_lines(config, round_s)
    yield from short_training([config])


def step_lines(budgets: Sequence[StepBudget], what: str) -> Iterator[str]:
    """Say the tiles of the clients and the steps of what is trained; of several budgets, the span over them."""
    tiles = _span(float(end(budget.tiles)) for budget in budgets for end in (np.min, np.max))
    yield (
        f"budget: {_span(len(budget.tiles) for budget in budgets)} client(s) with {tiles} training tiles each, "
        f"{_span(budget.unused for budget in budgets)} unused"
    )
    whole = all(float(budget.in_a_row.min()) == budget.total for budget in budgets)
    in_a_row = _span(float(end(budget.in_a_row)) for budget in budgets for end in (np.min, np.max))
    yield (
        f"budget: {_span(steps for budget in budgets for steps in budget.per_round)} {what} step(s) a round, "
        f"{_span(budget.total for budget in budgets)} in all"
        f"{'' if whole else f' over the clients; {in_a_row} in a row'}"
    )


def timed_step(config: ExperimentConfig, budget: StepBudget, workers: WorkerResources) -> StepTime:
    """Time a step as a worker takes it: of a batch as large as the clients' tiles give on average."""
    batch = config.family.batch_size
    if not round_of(config).LOCKSTEP:
        batch = min(batch, max(2, round(float(np.average(budget.tiles, weights=budget.tiles)))))
    return time_steps(config, batch, max(1, int(workers.cpus_per_worker)))


def round_seconds(config: ExperimentConfig, budget: StepBudget, step: StepTime, workers: WorkerResources) -> float:
    """Estimate the training of a round, without what comes on top of the steps.

    Workers that share a GPU are taken for one; a client's steps are one after another, however many workers there are.
    """
    num_clients, step_s = len(budget.tiles), step.of_all(config)
    at_a_time = max(1.0, workers.num_workers * (workers.gpus_per_worker or 1.0))
    clients_s = budget.round_steps * step_s
    if round_of(config).LOCKSTEP:  # every step waits for all clients
        taken = budget.per_round[0] * task_of(config).steps_between(config)
        return taken * step_s * math.ceil(num_clients / at_a_time)
    if config.federation.mode == "centralised":  # a batch is divided among the workers
        return float(clients_s.sum()) / at_a_time
    drawn = num_sampled(num_clients, config.federation.client_fraction) / num_clients
    return max(float(clients_s.sum()) * drawn / at_a_time, float(clients_s.max()))


def time_basis(step: StepTime, workers: WorkerResources) -> str:
    """Say what an estimate of seconds rests on."""
    place = "GPU" if step.device == "cuda" else f"CPU, {max(1, int(workers.cpus_per_worker))} thread(s)"
    some = "" if step.timed_tiles == step.batch_size else f" (estimated from steps of up to {step.timed_tiles})"
    steps = ", ".join(f"{_short(seconds)} a {network} step" for network, seconds in step.seconds.items())
    gpus = "; the workers will have GPUs, which are faster" if workers.gpus_per_worker and step.device == "cpu" else ""
    return (
        f"budget: timed on {platform.node()} ({place}): {steps} of {step.batch_size} tiles{some}; another machine "
        f"takes its own time{gpus}"
    )


def sampling_lines(config: ExperimentConfig, round_s: float) -> Iterator[str]:
    """Say how long the tiles of an evaluation take to be made, where that is much beside the training before it.

    Args:
        config: With all that was unset filled in.
        round_s: Seconds of a round's training.
    """
    if task_of(config).ABILITY != "samples":
        return
    num_tiles, every = config.evaluation.num_samples or 0, config.evaluation.every
    seconds = time_tiles(config, num_tiles)
    if seconds > max(_NOTABLE_S, _NOTABLE * every * round_s):
        rounds = "round" if every == 1 else f"{every} rounds"
        yield (
            f"budget: about {_short(seconds)} more every {rounds} to make the {num_tiles} tiles that are scored; "
            "--evaluation.every and --evaluation.num-samples change that"
        )


def short_training(configs: Sequence[ExperimentConfig], searched: Collection[str] = ()) -> Iterator[str]:
    """Say where too few steps in a row are taken to show anything, with options that change it.

    Of a sweep the longest trial counts: how many steps are best may be what it searches. It is a warning only where
    tiles will be noise; a training that is short on purpose, as a laptop's, is told so. Of one that goes on from
    trained networks nothing is said: how many steps are in them is not known.

    Args:
        configs: Of the experiment, or of a sweep's trials.
        searched: Paths that a sweep searches, and no option fixes.
    """
    if configs[0].starts_from is not None:
        return
    steps = [_usual_steps(config)() for config in configs]
    most, task = max(steps), task_of(configs[0])
    if (enough := task.ENOUGH) is None or most >= enough.steps:
        return
    remedies = _remedies(configs[steps.index(most)], enough.steps, searched)
    longest = " in the longest trial" if len(configs) > 1 else ""
    more = f"; for as many{longest}, one of: {', '.join(remedies)}" if remedies else ""
    taken = f"a {task.COUNTED} takes {_span(round(each) for each in steps)} steps in a row"
    if most < enough.noise:
        yield f"warning: expect noise: {taken}, and {enough.what} take about {enough.steps}{more}"
    else:
        yield f"budget: short: {taken}; colours and textures come first, {enough.what} take about {enough.steps}{more}"


def _usual_steps(config: ExperimentConfig) -> Callable[..., float]:
    """Return what counts steps in a row on average by the clients' tiles, as in the server's average.

    It takes a path and another value for it, or nothing.
    """
    sizes, counts = np.unique(training_sizes(config), return_counts=True)

    def count(path: str | None = None, value: int = 0) -> float:
        changed = config if path is None else _changed(config, path, value)
        return float(np.average(steps_in_a_row(changed, sizes), weights=sizes * counts))

    return count


def _remedies(config: ExperimentConfig, enough: int, searched: Collection[str]) -> list[str]:
    """List options that give enough steps, each with the nearest value that does."""
    federation, usual_steps = config.federation, _usual_steps(config)
    away: dict[str, range] = {  # from the present value on
        "federation.num_rounds": range(federation.num_rounds + 1, _LARGEST),
        "federation.local_epochs": range(federation.local_epochs + 1, 0 if federation.local_steps else _LARGEST),
        "federation.local_steps": range((federation.local_steps or 0) + 1, _LARGEST),
        **{f"{config.task}.{field}": values for field, values in task_of(config).fewer(config).items()},
    }
    found = []
    for path, values in away.items():
        place = bisect_left(values, True, key=lambda value, path=path: usual_steps(path, value) >= enough)  # type: ignore[misc]
        if path not in searched and place < len(values):
            found.append(f"--{path.replace('_', '-')} {values[place]}")
    return found


def _changed(config: ExperimentConfig, path: str, value: int) -> ExperimentConfig:
    section, field = path.split(".")
    return config.model_copy(update={section: getattr(config, section).model_copy(update={field: value})})


def _span(numbers: Iterable[float]) -> str:
    """Write the least and the largest of some numbers, or the one that they all are."""
    known = sorted(numbers)
    return " to ".join(dict.fromkeys(f"{number:,.0f}" for number in (known[0], known[-1])))


def _short(seconds: float) -> str:
    value, unit = (1000 * seconds, "ms") if seconds < 1 else (seconds, "s")
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"
