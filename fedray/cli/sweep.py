"""The command line of the sweep jobs: options in, tables and pictures out."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import tyro
from rich.console import Console

from fedray.cli.mattered import print_importance
from fedray.cli.options import JobOptions, parse_job
from fedray.cli.report import print_first, print_pages, print_plan, print_unsent, show_self_test
from fedray.cli.trials import print_trials
from fedray.cluster import cluster_size
from fedray.cluster.upload import check_upload, size_text
from fedray.config import TASKS, ConfigError, to_yaml
from fedray.experiment import judging_of, notes
from fedray.results import Place, new_place, results_root, resumable
from fedray.results.files import BEST, REPORT, RESULTS
from fedray.results.ledger import Ledger
from fedray.sweep.budget import sweep_budget_lines
from fedray.sweep.check import check_sweep, finished_sweep, saved_space
from fedray.sweep.plan import plan_sweep
from fedray.sweep.results import SweepResult
from fedray.sweep.run import run_sweep
from fedray.sweep.space import SearchSpace, find_space, load_space
from fedray.sweep.state import trust_state
from fedray.terminal import plain_console, this_python
from fedray.tracking import look_at_tracking, resolve_tracking_uri


class SweepOptions(JobOptions):
    """Options of a sweep; those of the experiment override what the search space fixes."""

    GOES_ON: ClassVar[frozenset[str]] = frozenset({"num_trials"})

    space: Annotated[Path | None, tyro.conf.arg(metavar="NAME")] = None
    """Search space to use: the name of one in search_spaces/, or a file; unset: the job's own."""
    num_trials: Annotated[str | None, tyro.conf.arg(metavar="N|+N")] = None
    """Trials to run, >= 1; unset: as the search space says. With --resume, +N are so many more, of a finished sweep
    too."""
    max_concurrent: int | None = None
    """Trials at a time at the most, >= 1; unset: as the search space says."""
    max_failures: int | None = None
    """How often a trial is tried again after an error or a lost node, >= 0; unset: as the search space says."""
    start_from: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Results folder or address of another finished sweep, whose trials are known points; unset: as the search space
    says."""
    trust: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --resume: sign the sweep's state with your key, whoever wrote it, and go on. It holds pickles, and reading
    one runs the code that is in it."""


def sweep(argv: Sequence[str], default_space: Path, description: str) -> None:
    """Run a sweep job.

    Args:
        argv: Command line without the program.
        default_space: Search space where the command line names none.
        description: First paragraph of ``--help``.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_job(SweepOptions, argv, "space", lambda path: _space(path, default_space).fixed, description)
    out, space = _place_and_space(options, default_space)
    package = check_upload(space.fixed.data)
    tracking_uri, console = resolve_tracking_uri(results_root()), plain_console()
    finished = finished_sweep(space, out)
    if options.trust:
        with out.held():
            trust_state(out)
    budget: list[str] = []
    if finished is None:
        space, store, start, known = check_sweep(space, out)
        first = space.trial_config({})
        told = [*notes(first, store, start), *judging_of(first).notes(first, store), *([known.words] if known else [])]
        look_at_tracking(tracking_uri)  # before anything is timed or said
        budget = list(sweep_budget_lines(space, plan_sweep(space, cluster_size())))
    else:
        told = [f"{out} holds a finished sweep: nothing is left to run"]
    if options.dry_run:
        print_plan(to_yaml(space), plan_sweep(space, cluster_size()), budget, told)
        return
    print_first(console, package, told, budget)
    with resumable(out):
        result = run_sweep(
            space,
            out=out,
            tracking_uri=tracking_uri,
            on_evaluator=lambda evaluator: show_self_test(console, evaluator, out.folder),
        )
    _print_result(console, out, result, tracking_uri)


def _place_and_space(options: SweepOptions, default_space: Path) -> tuple[Place, SearchSpace]:
    if options.trust and (options.dry_run or not options.resume):
        raise ConfigError("--trust signs the state of the sweep that --resume DIR names, and --dry-run writes nothing")
    if options.resume:
        out = Place.at(options.resume)
        return out, _with_more(saved_space(out), options.num_trials)
    space = _chosen_space(options, default_space)
    return Place.at(options.out or new_place(space.name)), space


def _with_more(saved: SearchSpace, num_trials: str | None) -> SearchSpace:
    """Ask for more trials of a sweep, where +N does."""
    if num_trials is None:
        return saved
    if not num_trials.startswith("+") or _count(num_trials) < 1:
        raise ConfigError(
            f"with --resume, --num-trials must say how many more, +1 or more, but got {num_trials!r}; the sweep there "
            f"has {saved.num_trials}"
        )
    return saved.with_changes(saved.fixed, {"num_trials": saved.num_trials + _count(num_trials)})


def _count(num_trials: str) -> int:
    try:
        return int(num_trials)
    except ValueError:
        raise ConfigError(f"--num-trials must be a whole number, but got {num_trials!r}") from None


def _print_result(console: Console, out: Place, result: SweepResult, tracking_uri: str) -> None:
    spent = Ledger.at(out).epsilon(result.space.fixed.privacy.delta) if result.space.is_private else None
    print_trials(console, result, spent)
    print_importance(console, result.out)
    fixed = result.space.fixed
    best, size = shlex.quote(str(result.out / BEST)), size_text(out.num_bytes())
    files = ", ".join((REPORT, RESULTS, BEST, *judging_of(fixed).FILES))
    for line in (
        f"Run the best again:  {this_python()} {TASKS[fixed.task].job} --config {best}",
        f"Results:             {out}/: {files} ({size} in all)",
    ):
        console.print(line, soft_wrap=True)
    print_pages(console, result.pages, tracking_uri)
    print_unsent(console, out)


def _chosen_space(options: SweepOptions, default_space: Path) -> SearchSpace:
    space = _space(options.space, default_space)
    if options.num_trials is not None and options.num_trials.startswith("+"):
        raise ConfigError(f"--num-trials {options.num_trials} asks for more of a sweep: name that one by --resume DIR")
    sizes = {
        "num_trials": None if options.num_trials is None else _count(options.num_trials),
        "max_concurrent": options.max_concurrent,
        "max_failures": options.max_failures,
        "start_from": options.start_from,
    }
    return space.with_changes(options.experiment, {name: size for name, size in sizes.items() if size is not None})


def _space(path: Path | None, default: Path) -> SearchSpace:
    return load_space(default if path is None else find_space(path, default.parent))
