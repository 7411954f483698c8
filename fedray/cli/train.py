"""The single-experiment job's command line: options in, scores and a picture out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fedray.cli.options import JobOptions, parse_job
from fedray.cli.progress import LINE_LENGTH, RoundLines
from fedray.cli.report import print_first, print_pages, print_plan, print_scores, show_self_test
from fedray.cluster.size import cluster_size, plan_workers
from fedray.cluster.upload import check_upload
from fedray.config import ConfigError, ExperimentConfig, load_config, read_yaml, to_yaml
from fedray.data import local_store
from fedray.experiment.budget import budget_lines
from fedray.experiment.classified import absent_note, names_of_scores, trivial_row
from fedray.experiment.notes import notes
from fedray.experiment.rounds import RoundResult
from fedray.experiment.run import (
    OnRound,
    check_experiment,
    finished_experiment,
    rounds_done,
    run_experiment,
    saved_config,
)
from fedray.experiment.tracked import subject
from fedray.results.files import CHECKPOINT, RESULTS, SELF_TEST_PICTURE
from fedray.results.ledger import Ledger
from fedray.results.pictures import picture_name
from fedray.results.place import Place, new_place, results_root, resumable
from fedray.terminal import plain_console
from fedray.tracking import look_at_tracking, resolve_tracking_uri


class TrainOptions(JobOptions):
    """Options of one experiment."""

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with the experiment's configuration (a sweep's best.yaml, for example); other options override it."""


def train(argv: Sequence[str], description: str, task: str = "gan") -> None:
    """Run one experiment.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.
        task: What the job trains.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_job(TrainOptions, argv, "config", partial(_configured, task), description)
    out = Place.at(options.resume or options.out or new_place(subject(options.experiment)))
    config = saved_config(out) if options.resume else options.experiment
    _check_task(config, task)
    package = check_upload(config.data)
    tracking_uri, console = resolve_tracking_uri(results_root()), plain_console()
    finished = finished_experiment(config, out)
    budget: list[str] = []
    if finished is None:
        config, store = check_experiment(config, out)
        told = notes(config, store)
        told += absent_note(store, config) if task == "classification" else []
        look_at_tracking(tracking_uri)  # before anything is timed or said
        budget = list(budget_lines(config, plan_workers(config, cluster_size()), rounds_done(out)))
    else:
        told = [f"{out} holds a finished experiment: nothing is left to run"]
    if options.dry_run:
        print_plan(to_yaml(config), plan_workers(config, cluster_size()), budget, told)
        return
    print_first(console, package, told, budget)
    with resumable(out):
        result = finished or run_experiment(
            config,
            out=out,
            tracking_uri=tracking_uri,
            on_round=_shown(console, config),
            on_evaluator=lambda evaluator: show_self_test(console, evaluator, out.folder),
        )
    delta = result.config.privacy.delta
    spent = (Ledger.at(out).epsilon(delta), delta) if result.config.privacy.on else None
    if task == "classification":
        title, columns = f"Scores of {subject(result.config)}", ("classifier", f"always {trivial_row(config).label!r}")
        print_scores(console, result.scores, result.floor, title=title, columns=columns)
    else:
        print_scores(console, result.scores, result.floor, spent, quality=result.quality)
    files = (RESULTS, "config.yaml", picture_name(config), *([SELF_TEST_PICTURE] if task == "gan" else []))
    console.print(f"Results:             {out}/: {', '.join(files)}, {CHECKPOINT}/", soft_wrap=True)
    print_pages(console, result.pages, tracking_uri)


JOBS = {"gan": "jobs/train_gan.py", "classification": "jobs/train_classifier.py"}
"""What trains one experiment, by task."""


def _check_task(config: ExperimentConfig, task: str) -> None:
    if config.task != task:
        raise ConfigError(
            f"{JOBS[task]} trains what task {task!r} says, but task is {config.task!r}; use {JOBS[config.task]}"
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
    lines = RoundLines(config, names_of_scores(local_store(config.data), config), length)

    def show(result: RoundResult) -> None:
        console.print(lines.line(result), soft_wrap=True)

    return show
