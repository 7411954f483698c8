"""The sweep jobs' command line: options in, table and pictures out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fedray.config import ExperimentConfig, to_yaml
from fedray.config.cli import JobOptions, parse_job, this_python
from fedray.experiment import USER_ERRORS as EXPERIMENT_ERRORS
from fedray.experiment import cluster_size, new_folder, results_root
from fedray.sweep.plan import plan_sweep
from fedray.sweep.results import print_trials
from fedray.sweep.run import SweepError, check_sweep, run_sweep, saved_space, settle
from fedray.sweep.space import SearchSpace, find_space, load_space
from fedray.tracking import resolve_tracking_uri, ui_command

USER_ERRORS = (*EXPERIMENT_ERRORS, SweepError)


class SweepOptions(JobOptions):
    """Options of a sweep; those of the experiment override what the search space fixes."""

    space: Annotated[Path | None, tyro.conf.arg(metavar="NAME")] = None
    """Search space to use: the name of one in search_spaces/, or a file; unset: the job's own."""
    num_trials: int | None = None
    """Trials to run, >= 1; unset: as the search space says."""
    max_concurrent: int | None = None
    """Trials at a time at the most, >= 1; unset: as the search space says."""


def sweep(argv: Sequence[str], default_space: Path, description: str) -> None:
    """Run a sweep job.

    Args:
        argv: Command line without the program.
        default_space: Search space where the command line names none.
        description: First paragraph of ``--help``.

    Raises:
        Exception: Any of :data:`USER_ERRORS`, whose message is for the user.
    """

    def fixed(path: Path | None) -> ExperimentConfig:
        return _space(path, default_space).fixed

    options = parse_job(SweepOptions, argv, "space", fixed, description)
    space = settle(saved_space(options.resume) if options.resume else _chosen_space(options, default_space))
    out = options.resume or options.out or new_folder(space.name)
    if options.dry_run:
        check_sweep(space, out)
        print(to_yaml(space) + f"# {plan_sweep(space, cluster_size())}")
        return
    tracking_uri = resolve_tracking_uri(results_root())
    result = run_sweep(space, out=out, tracking_uri=tracking_uri)
    console = Console()
    print_trials(console, result)
    console.print(
        f"Run the best again:  {this_python()} jobs/train_gan.py --config {out / 'best.yaml'}", soft_wrap=True
    )
    console.print(f"Results:             {out}/: results.parquet, best.yaml, samples.png", soft_wrap=True)
    console.print(f"Compare in MLflow:   {ui_command(tracking_uri)}", soft_wrap=True)


def _chosen_space(options: SweepOptions, default_space: Path) -> SearchSpace:
    space = _space(options.space, default_space)
    sizes = {"num_trials": options.num_trials, "max_concurrent": options.max_concurrent}
    return space.with_changes(options.experiment, {name: size for name, size in sizes.items() if size is not None})


def _space(path: Path | None, default: Path) -> SearchSpace:
    return load_space(default if path is None else find_space(path, default.parent))
