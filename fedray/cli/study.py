"""The command line of studies: a study in, tables out."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict, Field
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedray.cli.options import parse_options
from fedray.cli.report import print_first, print_pages, print_plan, print_unsent
from fedray.cluster import cluster_size
from fedray.cluster.upload import check_upload
from fedray.config import ConfigError, to_yaml
from fedray.results import Place, new_place, results_root, resumable
from fedray.results.files import STUDY_TABLES
from fedray.studies import Plan, Study, StudyResult, check_study, find_study, load_study, plan_lanes, run_study
from fedray.studies.definition import BudgetName
from fedray.studies.performing import outcome_before
from fedray.studies.rendering import table_texts
from fedray.studies.run import checked_out, saved_study
from fedray.studies.tables import FilledTable, leading, sentences
from fedray.terminal import plain_console
from fedray.tracking import look_at_tracking, resolve_tracking_uri


class StudyOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    study: Annotated[Path | None, tyro.conf.arg(metavar="NAME")] = None
    """Study to run: the name of one in studies/, or a file."""
    budget: BudgetName | None = None
    """How much effort: 'small' has few rounds and stand-ins of large networks, which its tables name; 'paper' what was
    published. Unset: as the study says, else small."""
    data: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None
    """Tile store in the place of the study's own, with the store's own tile size and domains."""
    seeds: tuple[int, ...] | None = None
    """Seeds of every cell, in the place of the study's own; two or more give intervals."""
    max_concurrent: int | None = Field(None, ge=1)
    """Steps at a time at the most, >= 1; unset: as many as the cluster has room for."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the results, which all machines see; unset: runs/NAME with the study's name and the time."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Continue the stopped study whose results are in this folder; steps that are done are not run again."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Check everything, print the study, its steps and the resource plan, and start nothing."""


def study(argv: Sequence[str], folder: Path, description: str) -> int:
    """Run a study.

    Args:
        argv: Command line without the program.
        folder: With studies by name.
        description: First paragraph of ``--help``.

    Returns:
        The exit status: 1 where a step failed.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(StudyOptions, argv, description)
    out, asked = _place_and_study(options, folder)
    return carry_out(asked, out, options.max_concurrent, dry_run=options.dry_run)


def carry_out(asked: Study, out: Place, max_concurrent: int | None, *, dry_run: bool) -> int:
    """Run a study, or say what would run, and print what came of it; returns the exit status.

    Args:
        asked: The study.
        out: For its results.
        max_concurrent: Steps at a time at the most; None: as many as there is room for.
        dry_run: Check and print alone.

    Raises:
        UserError: The message is for the user.
    """
    plan = check_study(asked, out)
    package = check_upload(plan.experiments()[0].config.data)
    tracking_uri, console = resolve_tracking_uri(results_root()), plain_console()
    look_at_tracking(tracking_uri)
    if dry_run:
        print_plan(to_yaml(asked), plan_lanes(plan, cluster_size(), max_concurrent), _steps_told(plan), [])
        return 0
    print_first(console, package, [], [])
    with resumable(out):
        result = run_study(
            asked,
            out=out.folder,
            tracking_uri=tracking_uri,
            max_concurrent=max_concurrent,
            on_line=lambda line: console.print(line, soft_wrap=True),
        )
    _print_result(console, result)
    print_pages(console, {}, tracking_uri)
    print_unsent(console, out)
    return int(bool(result.failed))


def _place_and_study(options: StudyOptions, folder: Path) -> tuple[Place, Study]:
    if options.resume is not None:
        given = {
            name: getattr(options, name)
            for name in ("study", "budget", "data", "seeds", "out")
            if getattr(options, name) is not None
        }
        if given:
            raise ConfigError(
                f"--resume {options.resume} continues the study that was started there, so it cannot be combined with "
                f"{', '.join(f'--{name}' for name in given)}; leave that out, or start a new study without --resume"
            )
        out = Place.at(checked_out(options.resume))
        return out, saved_study(out)
    if options.study is None:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise ConfigError(f"name the study: --study NAME, one of {known}, or a file")
    asked = load_study(find_study(options.study, folder))
    if options.budget is not None:
        asked = asked.model_copy(update={"budget": options.budget})
    if options.data is not None:
        asked = asked.on_store(options.data)
    if options.seeds is not None:
        asked = asked.with_seeds(options.seeds)
    return Place.at(checked_out(options.out or new_place(asked.name))), asked


def _steps_told(plan: Plan) -> list[str]:
    """Say what there is to compute, and what of it is shared or done."""
    done = sum(outcome_before(step) is not None for step in plan.steps.values())
    told = f"{len(plan.cells)} cells of {len(plan.steps)} steps, each computed once: "
    told += f"{len(plan.experiments())} experiments, {len(plan.steps) - len(plan.experiments())} stores of tiles"
    return [told + (f"; {done} are done" if done else "")]


def _print_result(console: Console, result: StudyResult) -> None:
    for filled in result.tables:
        console.print(_leading_table(filled))
        for sentence in sentences(filled):
            console.print(sentence, soft_wrap=True)
    for name, why in result.failed.items():
        console.print(f"failed: {name}: {why}", soft_wrap=True)
    if result.failed:
        console.print(f"--resume {shlex.quote(str(result.out))} tries these again", soft_wrap=True)
    console.print(f"Results:             {result.out}/: {', '.join(STUDY_TABLES)}, steps/", soft_wrap=True)


def _leading_table(filled: FilledTable) -> Table:
    """Show the leading score, which has room in a terminal; the files have all of them."""
    columns, rows = table_texts(leading(filled))
    lead, *others = filled.table.scores
    title = f"{filled.table.name}: {lead}" + (f" ({', '.join(others)}: in the files)" if others else "")
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        heading = "mean" if column == lead else column
        figures = column in (lead, "difference")  # names are folded, figures are not
        table.add_column(Text(heading), justify="right" if place else "left", overflow="fold", no_wrap=figures)
    for row in rows:
        table.add_row(*(Text(text, style="bold" if shown else "") for text, shown in row))
    return table
