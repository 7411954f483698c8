"""What the jobs that make a tile store have in common: where files come from, progress, the end of the report."""

import ast
import inspect
import itertools
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Protocol, TypeVar, get_args

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fedray.data.importing import LeftOut, TableOptions, count_reasons, parse_levels
from fedray.data.store import StoreError, TileStore

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is."""


@dataclass(frozen=True)
class SourceOptions:
    """Where the files come from, beside a folder of them; and what is told of it, and copied."""

    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Label folders of the training split, where the splits lie apart or have names of their own; goes with --test."""
    test: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Label folders of the test split; goes with --train."""
    domains: bool = False
    """The label folders lie in folders of their scanners or sites: DOMAIN/LABEL/FILE."""
    levels: str | None = None
    """What every level of folders is, from the top, where that is in doubt: label/group,
    split/domain/label, ... of split, client, domain, label, group. What lies deeper is searched."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Table that names the files, with the columns image (of slides: slide) and label and, optionally, domain, group
    (patient), split, client."""
    list_left_out: bool = False
    """Name every file, folder and row that does not become a tile."""
    upload: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Copy the finished store to shared storage, for clusters: s3://BUCKET/PATH or gs://BUCKET/PATH."""

    @property
    def parsed_levels(self) -> tuple[str, ...] | None:
        """What every level of folders is, where that was said.

        Raises:
            StoreError: It is no list of levels.
        """
        return None if self.levels is None else parse_levels(self.levels)


Options = TypeVar("Options")


def parse_options(kind: type[Options], argv: Sequence[str], description: str | None) -> Options:
    """Parse a job's command line; from now on what `kill` and `ray job stop` send ends the job as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so nothing half-written stays
    _let_help_flow(kind)
    return tyro.cli(kind, args=argv, description=description, config=(tyro.conf.FlagCreatePairsOff,))


_FLOWING: set[type] = set()


def _let_help_flow(kind: type) -> None:
    """Hand the docstrings of options to tyro as one line each: it would keep the breaks of lines that are indented."""
    if kind in _FLOWING:
        return
    _FLOWING.add(kind)
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    for node, below in itertools.pairwise(tree.body):
        match node, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                help_of = tyro.conf.arg(help=" ".join(text.split()))
                kind.__annotations__[name] = Annotated[kind.__annotations__[name], help_of]
    for annotation in kind.__annotations__.values():
        for inner in get_args(annotation)[:1]:
            if isinstance(inner, type) and is_dataclass(inner):
                _let_help_flow(inner)


def check_sources(
    options: SourceOptions,
    table: TableOptions,
    what: str,
    folder: tuple[str, Path | None],
    more: Mapping[str, Path | None] | None = None,
) -> None:
    """Refuse a command without a source, with several, or with options that its source does not have.

    Args:
        options: Where the files come from.
        table: How a table is read.
        what: The files, for messages.
        folder: The option of their folder, and what was given with it; beside ``--csv`` the names start there.
        more: Options of other files that are a source, and what was given with them.

    Raises:
        StoreError: The message says which options go together.
    """
    if (options.train is None) != (options.test is None):
        raise StoreError("--train and --test go together: each is the folder of one split")
    name, place = folder
    others = {f"{option} FILE": file is not None for option, file in (more or {}).items()}
    given = {
        f"{name} DIR": place is not None and options.csv is None,
        "--train DIR --test DIR": options.train is not None,
        **others,
        f"--csv FILE (with {name} DIR if its names start elsewhere)": options.csv is not None,
    }
    *forms, last = given
    sources = [form.split(" ")[0] for form, here in given.items() if here]
    if len(sources) != 1:
        raise StoreError(
            f"the {what} must come from one of {', '.join(forms)} and {last}, but "
            f"{f'{sources[0]} and {sources[1]} are' if sources else 'none is'} given; --help explains them"
        )
    asked = [f"--{option.replace('_', '-')}" for option, value in vars(table).items() if value not in ("", None)]
    if asked and options.csv is None:
        raise StoreError(f"{asked[0]} says how a table is read, so it goes with --csv FILE")
    if (options.domains or options.levels) and (options.csv is not None or any(others.values())):
        raise StoreError(
            "--domains and --levels say what folders are, so they do not go with a table or a file of arrays"
        )
    if options.levels and options.domains:
        raise StoreError("--domains is short for --levels domain/label (or split/domain/label); leave one of them out")


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """Show progress on standard error while it is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


class StoreReport(Protocol):
    """What a job that made a store tells beside its own tables."""

    @property
    def store(self) -> TileStore:
        """What was made."""

    @property
    def skipped(self) -> Sequence[str]:
        """One message for each file that cannot be read."""

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """What lay there and did not count."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know, one sentence each."""


def print_rest(console: Console, report: StoreReport, place: str, list_left_out: bool) -> None:
    """Print what was skipped and left out, the notes, and how to use the store.

    Args:
        console: Prints words as they are, without wrapping.
        report: Of the job.
        place: The store's path or address.
        list_left_out: Name each entry that was left out, beside the counts.
    """
    for message in report.skipped:
        print(f"skipped: {message}", file=sys.stderr)
    _print_left_out(console, report.left_out, list_left_out)
    for note in report.notes:
        console.print(f"note: {note}")
    console.print(f"train on it: {train_command(report.store, place)}")


def _print_left_out(console: Console, left_out: Sequence[LeftOut], by_name: bool) -> None:
    """Print what lay there and is no tile: counted by reason, and each by its name if that is wanted."""
    if not left_out:
        console.print("left out: nothing")
        return
    console.print(f"left out: {len(left_out):,}{'' if by_name else ' (--list-left-out names them)'}")
    for reason, count in count_reasons(left_out):
        console.print(f"{count:>8,}  {reason}")
        for entry in left_out if by_name else ():
            if entry.reason == reason:
                console.print(f"          {entry.place}")


def train_command(store: TileStore, place: str) -> str:
    """Return the command that trains on a store; the clients that it names train on what they have.

    Args:
        store: The store.
        place: Its path or address.
    """
    command = f"python jobs/train_gan.py --data {shlex.quote(place)}"
    clients = store.clients[store.indices("train")]
    if len(clients) and clients.min() >= 0:
        command += f" --partition.scheme client --federation.num-clients {len(set(clients.tolist()))}"
    return command
