"""Job command lines, generated from the config models: every field is an option, every docstring its help."""

import argparse
import errno
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

import tyro
from pydantic import BaseModel, ConfigDict

from fedray.config.loading import ConfigError, override, validate
from fedray.config.paths import flatten
from fedray.config.schema import ExperimentConfig
from fedray.config.tasks import TASKS
from fedray.errors import UserError
from fedray.logins import check_secrets


class JobOptions(BaseModel):
    """Options that every experiment job has, beside the fields of the experiment's configuration."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")
    GOES_ON: ClassVar[frozenset[str]] = frozenset()
    """Paths of options that go with --resume: what they ask for is more of the same."""

    data: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None
    """Tile store to use, made by jobs/prepare_data.py; short for --data.store, with the store's own tile size and
    domains."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the results, or an s3:// or gs:// address on shared storage; unset: runs/NAME with a name of objective
    and time."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Continue the stopped job whose results are in this folder or at this address; its configuration is taken from
    there."""
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
        ConfigError: The base file is invalid, or a value breaks a rule. (An unknown option, or one that is no number
            where one belongs, prints its error and exits with status 2.)
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument(f"--{base_option}", type=Path, dest="base", metavar="FILE")
    base = first.parse_known_args(list(argv))[0].base
    default = options(experiment=read_base(base))
    registry = _unvalidated(tyro.constructors.ConstructorRegistry(), default.experiment.task)
    parsed = tyro.cli(options, args=argv, default=default, description=description, registry=registry)
    _check_resume_alone(parsed, default)
    experiment = validate(ExperimentConfig, parsed.experiment.model_dump(warnings=False), source="the command line")
    if parsed.data is not None:
        # What a file says of another store's tiles does not hold for this one; what the command line says does.
        theirs = [name for name in ("tile_size", "num_domains") if _same(parsed, default, name)]
        values = {"data.store": parsed.data, **dict.fromkeys((f"data.{name}" for name in theirs), None)}
        experiment = override(experiment, values, source="--data")
    return parsed.model_copy(update={"experiment": experiment})


Model = TypeVar("Model", bound=BaseModel)


def parse_options(options: type[Model], argv: Sequence[str], description: str) -> Model:
    """Parse a command line into a model of which every field has a default; its rules are checked as those of a file.

    Args:
        options: The job's options.
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        ConfigError: A value breaks a rule. (An unknown option, or one that is no number where one belongs, prints its
            error and exits with status 2.)
    """
    registry = _unvalidated(tyro.constructors.ConstructorRegistry())
    parsed = tyro.cli(options, args=argv, default=options(), description=description, registry=registry)
    return validate(options, parsed.model_dump(warnings=False), source="the command line")


def _same(parsed: JobOptions, default: JobOptions, name: str) -> bool:
    return bool(getattr(parsed.experiment.data, name) == getattr(default.experiment.data, name))


_BESIDE_RESUME = {"resume", "dry_run", "trust", "keys", "port"}
"""Options that say nothing of what is run: where, and whether."""


def _check_resume_alone(parsed: JobOptions, default: JobOptions) -> None:
    """Refuse options that --resume would ignore."""
    if parsed.resume is None:
        return
    before, after = (flatten(job.model_dump(exclude=_BESIDE_RESUME, warnings=False)) for job in (default, parsed))
    if given := [path for path in after if before[path] != after[path] and path not in type(parsed).GOES_ON]:
        names = ", ".join("--" + path.removeprefix("experiment.").replace("_", "-") for path in given)
        raise ConfigError(
            f"--resume {parsed.resume} continues with the configuration that was started there, so it cannot be "
            f"combined with {names}; leave that out, or start a new job without --resume"
        )


def _unvalidated(
    registry: tyro.constructors.ConstructorRegistry, task: str | None = None
) -> tyro.constructors.ConstructorRegistry:
    """Have models parsed without their rules: the whole is validated after it, in the same words as a file.

    Args:
        registry: Where it is told how.
        task: Of the experiment, if there is one; the sections of other tasks have no options, as nothing would read
            them.
    """

    @registry.struct_rule
    def fields_of(info: tyro.constructors.StructTypeInfo) -> tyro.constructors.StructConstructorSpec | None:
        model: type[BaseModel] = info.type
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None

        def construct(**values: Any) -> BaseModel:
            return model.model_construct(**values)

        construct.__doc__ = model.__doc__  # tyro prints it above the section's options
        hints: dict[str, Any] = get_type_hints(model, include_extras=True)
        for other in TASKS.keys() - {task} if issubclass(model, ExperimentConfig) else ():
            hints[other] = Annotated[hints[other], tyro.conf.Suppress]
        return tyro.constructors.StructConstructorSpec(
            instantiate=construct,
            fields=tuple(
                tyro.constructors.StructFieldSpec(
                    name=name,
                    type=hints[name],
                    default=getattr(info.default, name),
                    helptext=field.description,
                )
                for name, field in model.model_fields.items()
            ),
        )

    return registry


def run_job(main: Callable[[Sequence[str]], int | None]) -> int:
    """Run a job's main function on the command line.

    Args:
        main: The job; it may return the exit status.

    Returns:
        The exit status: 0, 2 for a :class:`fedray.errors.UserError` or a disk that takes nothing, whose message is
        printed alone, 130 for Ctrl-C. Any other error keeps its traceback and status 1.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that is no UTF-8, or a terminal that knows ASCII only
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        check_secrets()
        return main(sys.argv[1:]) or 0
    except Exception as error:
        if (message := _disk_problem(error)) is None:
            if not isinstance(error, UserError):
                raise
            message = str(error)
        print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}


def _disk_problem(error: Exception) -> str | None:
    """Say what a disk refused, and what to do about it; None where the error is another one."""
    if not isinstance(error, OSError) or error.errno not in _DISK_ERRORS:
        return None
    place, problem = error.filename or "a file", (error.strerror or str(error)).lower()
    return (
        f"{place} cannot be used: {problem}. Make room or give the right to it, or choose other places by --out, "
        "FEDRAY_RESULTS, FEDRAY_CACHE or TMPDIR; a job that had begun goes on with --resume"
    )
