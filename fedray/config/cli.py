"""Job command lines, generated from the config models: every field is an option, every docstring its help."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro
from pydantic import BaseModel, ConfigDict

from fedray.config.loading import override
from fedray.config.schema import ExperimentConfig


class JobOptions(BaseModel):
    """Options that every experiment job has, beside the fields of the experiment's configuration."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    data: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None
    """Tile store to use, made by jobs/prepare_data.py; short for --data.store."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the results; unset: runs/NAME with a name of objective and time."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Continue the stopped job whose results are in this folder; its configuration is taken from there."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the resolved configuration and the resource plan, and start nothing."""
    experiment: Annotated[ExperimentConfig, tyro.conf.arg(name="")] = ExperimentConfig()


Options = TypeVar("Options", bound=JobOptions)


def parse_job(
    options: type[Options],
    argv: Sequence[str],
    base_option: str,
    read_base: Callable[[Path | None], ExperimentConfig],
    description: str,
) -> Options:
    """Parse a job's command line; its experiment options override those of a base file.

    Args:
        options: The job's options; has a field named as ``base_option``.
        argv: Command line without the program.
        base_option: Option that names the base file, without its dashes.
        read_base: Reads the base file, or gives the base where none is named.
        description: First paragraph of ``--help``.

    Raises:
        ConfigError: The base file is invalid. (An invalid command line prints its error and exits with status 2.)
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument(f"--{base_option}", type=Path, dest="base")
    base = first.parse_known_args(list(argv))[0].base
    parsed = tyro.cli(options, args=argv, default=options(experiment=read_base(base)), description=description)
    if parsed.data is not None:
        experiment = override(parsed.experiment, {"data.store": parsed.data}, source="--data")
        parsed = parsed.model_copy(update={"experiment": experiment})
    return parsed


def run_job(main: Callable[[Sequence[str]], None], user_errors: tuple[type[Exception], ...]) -> int:
    """Run a job's main function on the command line.

    Args:
        main: The job.
        user_errors: Errors whose message tells the user all they need: printed alone, without a traceback.

    Returns:
        The exit status: 0, 2 for a user error, 130 for Ctrl-C. Any other error keeps its traceback and status 1.
    """
    try:
        main(sys.argv[1:])
    except user_errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0
