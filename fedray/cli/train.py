"""The single-experiment job's command line: options in, scores and a picture out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import tyro
from rich.console import Console

from fedray.cli.options import JobOptions, parse_job
from fedray.cli.progress import LINE_LENGTH, RoundLines
from fedray.cli.report import print_first, print_pages, print_plan, print_scores, print_unsent, show_self_test
from fedray.cluster.size import cluster_size, plan_workers
from fedray.cluster.upload import check_upload
from fedray.config import TASKS, ConfigError, ExperimentConfig, load_config, read_yaml, to_yaml
from fedray.data import local_store
from fedray.experiment.budget import budget_lines
from fedray.experiment.engines import RoundResult
from fedray.experiment.judging import judging_of
from fedray.experiment.notes import notes
from fedray.experiment.run import (
    check_experiment,
    finished_experiment,
    rounds_done,
    run_experiment,
    saved_config,
    with_rounds,
)
from fedray.experiment.telling import OnRound
from fedray.results.files import CHECKPOINT, RESULTS
from fedray.results.folder import EXPERIMENT
from fedray.results.ledger import Ledger
from fedray.results.place import Place, new_place, results_root, resumable
from fedray.terminal import plain_console
from fedray.tracking import look_at_tracking, resolve_tracking_uri

_ROUNDS = "--federation.num-rounds"


class TrainOptions(JobOptions):
    """Options of one experiment."""

    GOES_ON: ClassVar[frozenset[str]] = frozenset({"experiment.federation.num_rounds"})

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with the experiment's configuration (a sweep's best.yaml, for example); other options override it."""


def train(argv: Sequence[str], description: str, task: str) -> None:
    """Run one experiment.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.
        task: What the job trains.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_job(TrainOptions, argv, "config", partial(_configured, task), description)
    out = Place.at(options.resume or options.out or new_place(options.experiment.family.subject))
    config = _resumed(out, options, argv) if options.resume else options.experiment
    _check_task(config, task)
    package = check_upload(config.data)
    tracking_uri, console = resolve_tracking_uri(results_root()), plain_console()
    finished = finished_experiment(config, out)
    budget: list[str] = []
    if finished is None:
        config, store, start = check_experiment(config, out)
        told = [*notes(config, store, start), *judging_of(config).notes(config, store)]
        look_at_tracking(tracking_uri)  # before anything is timed or said
        budget = list(budget_lines(config, plan_workers(config, cluster_size()), rounds_done(out)))
    else:
        told = [f"{out} holds a finished experiment: nothing is left to run"]
    if options.dry_run:
        print_plan(to_yaml(config), plan_workers(config, cluster_size()), budget, told)
        return
    print_first(console, package, told, budget)
    with resumable(out):
        result = run_experiment(
            config,
            out=out,
            tracking_uri=tracking_uri,
            on_round=_shown(console, config),
            on_evaluator=lambda evaluator: show_self_test(console, evaluator, out.folder),
        )
    delta = result.config.privacy.delta
    spent = (Ledger.at(out).epsilon(delta), delta) if result.config.is_private else None
    judging = judging_of(result.config)
    print_scores(console, result.scores, result.floor, judging.heading(result.config), spent, quality=result.quality)
    files = (RESULTS, EXPERIMENT.config, *judging.FILES)
    console.print(f"Results:             {out}/: {', '.join(files)}, {CHECKPOINT}/", soft_wrap=True)
    print_pages(console, result.pages, tracking_uri)
    print_unsent(console, out)


def _resumed(out: Place, options: TrainOptions, argv: Sequence[str]) -> ExperimentConfig:
    """Return what was started in a folder, with more rounds where the command line asks for more."""
    saved, num_rounds = saved_config(out), options.experiment.federation.num_rounds
    names = {argument.partition("=")[0].replace("_", "-") for argument in argv}
    if _ROUNDS not in names:  # the default is what nobody has said
        return saved
    if num_rounds <= saved.federation.num_rounds:
        raise ConfigError(
            f"with --resume, {_ROUNDS} must be more than the {saved.federation.num_rounds} rounds of the experiment in "
            f"{out}, but got {num_rounds}; leave it out to go on as it began"
        )
    return with_rounds(saved, num_rounds)


def _check_task(config: ExperimentConfig, task: str) -> None:
    if config.task != task:
        raise ConfigError(
            f"{TASKS[task].job} trains what task {task!r} says, but task is {config.task!r}; use "
            f"{TASKS[config.task].job}"
        )


def _configured(task: str, path: Path | None) -> ExperimentConfig:
    if path is None:
        return ExperimentConfig(task=task)
    if "search" in read_yaml(path):
        raise ConfigError(
            f"{path} is a search space, but --config takes the configuration of one experiment; run it with "
            f"jobs/sweep_wgan.py --space {path}, or give --config what stands under `fixed`"
        )
    return load_config(path)


def _shown(console: Console, config: ExperimentConfig) -> OnRound:
    """Return what prints a line a round: as long as the terminal allows, and at full length into a file."""
    length = min(LINE_LENGTH, console.width) if console.is_terminal else LINE_LENGTH
    lines = RoundLines(config, judging_of(config).score_names(config, local_store(config.data)), length)

    def show(result: RoundResult) -> None:
        console.print(lines.line(result), soft_wrap=True)

    return show
