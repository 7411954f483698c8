"""The command line of the doctor: what it finds, each problem with its remedy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict
from rich.text import Text

from fedray.config import DataConfig
from fedray.results import new_place, results_root
from fedray.sweep.doctor import Level, examine
from fedray.terminal import plain_console
from fedray.tracking import resolve_tracking_uri


class DoctorOptions(BaseModel):
    """Options of the doctor."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    data: DataConfig = DataConfig()
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Where results will go: a folder, or an s3:// or gs:// address; unset: FEDRAY_RESULTS, or runs/ here."""


def diagnose(argv: Sequence[str], folder: Path, description: str) -> int:
    """Run the doctor.

    Args:
        argv: Command line without the program; ``--data STORE`` is short for ``--data.store STORE``.
        folder: The repository: what a job takes along to a cluster, with the search spaces to plan.
        description: First paragraph of ``--help``.

    Returns:
        The exit status: 1 where there is a problem.
    """
    argv = ["--data.store" if word == "--data" else word for word in argv]
    options = tyro.cli(DoctorOptions, args=argv, description=description)
    out = options.out or new_place("sweep")
    console = plain_console()
    num_problems = 0
    for finding in examine(options.data, out, resolve_tracking_uri(results_root()), folder):
        mark, style = _MARKS[finding.level]
        console.print(Text.assemble((f"{mark:8}", style), (f"{finding.about}: ", "bold"), finding.text), soft_wrap=True)
        if finding.remedy:
            console.print(Text.assemble(" " * 8, ("-> ", "dim"), finding.remedy), soft_wrap=True)
        num_problems += finding.level == "problem"
    console.print(f"{num_problems} problem(s)" if num_problems else "ready")
    return int(num_problems > 0)


_MARKS: Mapping[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "problem": ("PROBLEM", "red"),
}
