"""Make a tile store of images: python jobs/prepare_data.py --images DIR --size 64 --out STORE [--help].

DIR holds one folder a label, or folders of splits (train, test) with one folder a label in each. Other sources: --train
DIR --test DIR, a table that names the images (--csv FILE), a file of MedMNIST (--medmnist FILE). Every image becomes
its largest central square, resized with antialiasing, in RGB. What does not become a tile is counted by its reason.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from fedray.config.cli import plain_console, run_job
from fedray.data import (
    SPLITS,
    ImportOptions,
    ImportReport,
    StoreError,
    TableOptions,
    check_shared_target,
    count_reasons,
    import_csv,
    import_folder,
    import_medmnist,
    import_split_folders,
    parse_levels,
    train_command,
    upload_store,
)

USER_ERRORS = (StoreError, OSError)


@dataclass(frozen=True)
class PrepareOptions:
    """Options of the job."""

    tiles: Annotated[ImportOptions, tyro.conf.arg(name="")]
    table: Annotated[TableOptions, tyro.conf.arg(name="")]
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the images: label folders, with train and test above them or without; with --csv, where the table's
    names start."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Label folders of the training split, where the splits lie apart or have names of their own; goes with --test."""
    test: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Label folders of the test split; goes with --train."""
    domains: bool = False
    """The label folders lie in folders of their scanners or sites: DOMAIN/LABEL/IMAGE."""
    levels: str | None = None
    """What every level of folders is, from the top, where that is in doubt: label/group,
    split/domain/label, ... of split, client, domain, label, group. What lies deeper is searched."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Table that names the images, with the columns image and label and, optionally, domain, group, client, split."""
    medmnist: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File of MedMNIST (.npz)."""
    list_left_out: bool = False
    """Name every file, folder and row that does not become a tile."""
    upload: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Copy the finished store to shared storage, for clusters: s3://BUCKET/PATH or gs://BUCKET/PATH."""


def main(argv: Sequence[str]) -> None:
    """Parse, import, print."""
    # What `kill` and `ray job stop` send ends the import as Ctrl-C does: nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = tyro.cli(PrepareOptions, args=argv, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    check_sources(options)
    if options.upload is not None:
        check_shared_target(options.upload, options.tiles.overwrite)
    console = Console(stderr=True)
    columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("decoding", total=None)
        report = run_import(options, lambda done, total: progress.update(task, completed=done, total=total))
    if options.upload is not None:
        upload_store(report.store, options.upload)
    print_report(report, options.upload or str(report.store.path), options.list_left_out)


def check_sources(options: PrepareOptions) -> None:
    """Refuse a command without a source, with several, or with options that its source does not have."""
    if (options.train is None) != (options.test is None):
        raise StoreError("--train and --test go together: each is the folder of one split")
    given = {
        "--images": options.images is not None and options.csv is None,
        "--train and --test": options.train is not None,
        "--csv": options.csv is not None,
        "--medmnist": options.medmnist is not None,
    }
    sources = [name for name, here in given.items() if here]
    if len(sources) != 1:
        raise StoreError(
            "the images must come from one of --images DIR, --train DIR --test DIR, --csv FILE (with --images DIR if "
            "its names start elsewhere) and --medmnist FILE, but "
            f"{f'{sources[0]} and {sources[1]} are' if sources else 'none is'} given; --help explains them"
        )
    asked = [f"--{name.replace('_', '-')}" for name, value in vars(options.table).items() if value not in ("", None)]
    if asked and options.csv is None:
        raise StoreError(f"{asked[0]} says how a table is read, so it goes with --csv FILE")
    if options.tiles.group_pattern is not None and options.medmnist:
        raise StoreError("--group-pattern reads the paths of files, so it does not go with a file of arrays")
    if (options.domains or options.levels) and (options.csv or options.medmnist):
        raise StoreError(
            "--domains and --levels say what folders are, so they do not go with a table or a file of arrays"
        )
    if options.levels and options.domains:
        raise StoreError("--domains is short for --levels domain/label (or split/domain/label); leave one of them out")


def run_import(options: PrepareOptions, on_progress: Callable[[int, int], None]) -> ImportReport:
    """Import from the source that was given."""
    if options.csv is not None:
        return import_csv(options.csv, options.tiles, options.images, on_progress, table=options.table)
    if options.medmnist is not None:
        return import_medmnist(options.medmnist, options.tiles, on_progress)
    levels = None if options.levels is None else parse_levels(options.levels)
    if options.train is not None and options.test is not None:
        return import_split_folders(
            options.train, options.test, options.tiles, on_progress, levels=levels, domains=options.domains
        )
    assert options.images is not None
    return import_folder(options.images, options.tiles, on_progress, levels=levels, domains=options.domains)


def print_report(report: ImportReport, place: str, list_left_out: bool) -> None:
    """Print what was skipped and left out, the tiles of each split and label, and how to use the store."""
    console = plain_console(soft_wrap=True)
    for message in report.skipped:
        print(f"skipped: {message}", file=sys.stderr)
    store = report.store
    table = Table(title=Text(f"{store.name}: {len(store):,} tiles of {store.tile_size} px"))
    for column in ("split", *store.label_names, "all"):
        table.add_column(Text(column), justify="left" if column == "split" else "right")
    for split in SPLITS:
        counts = np.bincount(store.labels[store.indices(split)], minlength=len(store.label_names))
        table.add_row(split, *(f"{count:,}" for count in counts), f"{counts.sum():,}")
    console.print(table)
    console.print(f"domains: {', '.join(store.domain_names)}; groups: {len(np.unique(store.groups)):,}")
    console.print(f"fingerprint: {store.fingerprint}; skipped images: {len(report.skipped)}")
    print_left_out(console, report, list_left_out)
    for note in report.notes:
        console.print(f"note: {note}")
    console.print(f"train on it: {train_command(store, place)}")


def print_left_out(console: Console, report: ImportReport, by_name: bool) -> None:
    """Print what lay there and is no tile: counted by reason, and each by its name if that is wanted."""
    if not report.left_out:
        console.print("left out: nothing")
        return
    console.print(f"left out: {len(report.left_out):,}{'' if by_name else ' (--list-left-out names them)'}")
    for reason, count in count_reasons(report.left_out):
        console.print(f"{count:>8,}  {reason}")
        for entry in report.left_out if by_name else ():
            if entry.reason == reason:
                console.print(f"          {entry.place}")


if __name__ == "__main__":
    sys.exit(run_job(main, USER_ERRORS))
