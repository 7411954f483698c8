"""The command line that writes a sweep's study into a storage of Optuna's."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict

from fedray.cli.options import parse_options
from fedray.config import ConfigError
from fedray.storage import why_not_made
from fedray.sweep.kept import export_study, opened_sweep, study_of
from fedray.terminal import plain_console


class ExportOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    sweep: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")] = ""
    """The sweep: its results folder, or its s3:// or gs:// address. It may still run, or have been stopped."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("study.db")
    """SQLite file to write; studies that it holds already stay."""
    name: str | None = None
    """Name of the study in that file; unset: that of the sweep's folder."""


def export(argv: Sequence[str], description: str) -> None:
    """Export.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(ExportOptions, argv, description)
    if not options.sweep:
        raise ConfigError("name the sweep to export: its results folder, or its address")
    if (problem := why_not_made(options.out.parent)) is not None:
        raise ConfigError(f"--out {options.out} cannot be written: {problem}; name another file")
    place, space = opened_sweep(options.sweep)
    study = study_of(space, place)
    name = options.name or str(place).rstrip("/").rpartition("/")[2]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    export_study(study, options.out, name)
    console, address = plain_console(soft_wrap=True), shlex.quote(f"sqlite:///{options.out}")
    console.print(f"{options.out}: the study {name!r} with {len(study.get_trials(deepcopy=False))} trials")
    console.print(f"Look at it:  optuna-dashboard {address}   (pip install optuna-dashboard)")
