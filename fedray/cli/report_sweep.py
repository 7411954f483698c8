"""The command line that makes the report of a finished sweep again."""

from collections.abc import Sequence
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict

from fedray.cli.mattered import print_importance
from fedray.cli.options import parse_options
from fedray.config import ConfigError
from fedray.data import local_store
from fedray.results.files import REPORT
from fedray.sweep.check import finished_sweep
from fedray.sweep.kept import opened_sweep, study_of
from fedray.sweep.report import keep_report
from fedray.terminal import plain_console


class ReportOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    sweep: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")] = ""
    """The sweep: its results folder, or its s3:// or gs:// address; it is finished."""


def report_sweep(argv: Sequence[str], description: str) -> None:
    """Make the report.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(ReportOptions, argv, description)
    if not options.sweep:
        raise ConfigError("name the sweep to report on: its results folder, or its address")
    place, space = opened_sweep(options.sweep)
    with place.held():
        result = finished_sweep(space, place)
        if result is None:
            raise ConfigError(
                f"the sweep in {place} is not finished; let it go on with --resume, or look at its trials so far with "
                f"jobs/export_study.py"
            )
        keep_report(result, study_of(space, place), local_store(space.fixed.data), place)
        place.push()
    console = plain_console(soft_wrap=True)
    print_importance(console, place.folder)
    console.print(f"The page: {place}/{REPORT}")
