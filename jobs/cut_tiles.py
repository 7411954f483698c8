"""Cut slides into a store: python jobs/cut_tiles.py --slides DIR --size 256 --resolution 0.5 --out STORE [--help].

DIR holds one folder a label with slides in it, or the folders train and test with one folder a label in each. A CSV
file (--csv FILE) has the columns slide and label and may have domain, group (patient), split and client; its paths
start from DIR, or from its own folder. Read are .svs, .ndpi, .mrxs, .tif and DICOM slides, and what else OpenSlide
knows. Only tissue is cut: where the slide is coloured, by Otsu's threshold. Each slide is a group of its own unless
the CSV file says more: no split and no partition separates its tiles.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from fedray.config.cli import plain_console, run_job
from fedray.data import (
    StoreError,
    TableOptions,
    check_shared_target,
    count_reasons,
    parse_levels,
    train_command,
    upload_store,
)
from fedray.data.importing.images import Listing
from fedray.data.slides import (
    CutOptions,
    CutReport,
    cut_slides,
    list_slide_folder,
    list_slide_split_folders,
    list_slide_table,
)

USER_ERRORS = (StoreError, OSError)


@dataclass(frozen=True)
class JobOptions:
    """Options of the job."""

    tiles: Annotated[CutOptions, tyro.conf.arg(name="")]
    table: Annotated[TableOptions, tyro.conf.arg(name="")]
    slides: Annotated[Path | None, tyro.conf.arg(metavar="DIR", aliases=["--images"])] = None
    """Folder of the slides: label folders, with train and test above them or without; with --csv, where the table's
    names start."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Label folders of the training split, where the splits lie apart or have names of their own; goes with --test."""
    test: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Label folders of the test split; goes with --train."""
    domains: bool = False
    """The label folders lie in folders of their scanners or sites: DOMAIN/LABEL/SLIDE."""
    levels: str | None = None
    """What every level of folders is, from the top, where that is in doubt: label/group,
    split/domain/label, ... of split, client, domain, label, group. What lies deeper is searched."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Table that names the slides, with the columns slide and label and, optionally, domain, group (patient), split,
    client."""
    list_left_out: bool = False
    """Name every file, folder and row that is no slide."""
    upload: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Copy the finished store to shared storage, for clusters: s3://BUCKET/PATH or gs://BUCKET/PATH."""


def main(argv: Sequence[str]) -> None:
    """Parse, cut, print."""
    # What `kill` and `ray job stop` send ends the job as Ctrl-C does: nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = tyro.cli(JobOptions, args=argv, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    if options.upload is not None:
        check_shared_target(options.upload, options.tiles.overwrite)
    listing, source = list_slides(options)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        report = cut_slides(listing, options.tiles, source.resolve().name, on_progress)
    if options.upload is not None:
        upload_store(report.store, options.upload)
    print_report(report, options.upload or str(report.store.path), options.list_left_out)


def list_slides(options: JobOptions) -> tuple[Listing, Path]:
    """List the slides of the source that was given, and name it."""
    check_sources(options)
    if options.csv is not None:
        tiles = options.tiles
        listing = list_slide_table(options.csv, options.slides, options.table, tiles.val, tiles.on_error)
        return listing, options.csv
    levels = None if options.levels is None else parse_levels(options.levels)
    if options.train is not None and options.test is not None:
        return list_slide_split_folders(options.train, options.test, levels, options.domains), options.train
    assert options.slides is not None
    return list_slide_folder(options.slides, levels, options.domains, options.tiles.val), options.slides


def check_sources(options: JobOptions) -> None:
    """Refuse a command without a source, with several, or with options that its source does not have."""
    if (options.train is None) != (options.test is None):
        raise StoreError("--train and --test go together: each is the folder of one split")
    sources = [options.slides is not None and options.csv is None, options.train is not None, options.csv is not None]
    if sum(sources) != 1:
        raise StoreError(
            "the slides must come from one of --slides DIR, --train DIR --test DIR and --csv FILE (with --slides DIR "
            f"if its names start elsewhere), but {'several' if any(sources) else 'none'} of them is given; see --help"
        )
    asked = [f"--{name.replace('_', '-')}" for name, value in vars(options.table).items() if value not in ("", None)]
    if asked and options.csv is None:
        raise StoreError(f"{asked[0]} says how a table is read, so it goes with --csv FILE")
    if options.csv is not None and (options.domains or options.levels):
        raise StoreError("--domains and --levels say what folders are, so they do not go with a table")


def print_report(report: CutReport, place: str, list_left_out: bool) -> None:
    """Print what was cut and left out of each slide, and how to use the store."""
    console = plain_console(soft_wrap=True)
    for message in report.skipped:
        print(f"skipped: {message}", file=sys.stderr)
    store = report.store
    table = Table(title=f"{len(store):,} tiles of {store.tile_size} px from {len(report.slides)} slides")
    damaged = any(slide.num_unreadable for slide in report.slides)
    names = ("slide", "label", "split", "um/px", "tiles", "background", "edge", *(["unreadable"] if damaged else []))
    for column in names:
        table.add_column(column, justify="left" if column in names[:3] else "right", overflow="fold")
    for slide in report.slides:
        counts = (slide.num_tiles, slide.num_background, slide.num_margin, slide.num_unreadable)[: len(names) - 4]
        texts = (Text(text) for text in (slide.source, slide.label, slide.split or "-"))
        table.add_row(*texts, f"{slide.mpp:.4g}", *(f"{count:,}" for count in counts))
    console.print(table)
    for reason, count in count_reasons(report.left_out):
        console.print(f"left out: {count:,} x {reason}")
        for entry in report.left_out if list_left_out else ():
            if entry.reason == reason:
                console.print(f"          {entry.place}")
    for note in report.notes:
        console.print(f"note: {note}")
    console.print(f"what was taken for tissue, slide by slide (look at it): {report.masks}")
    console.print(f"fingerprint: {store.fingerprint}; groups: {len(store.group_names):,}")
    console.print(f"train on it: {train_command(store, place)}")


if __name__ == "__main__":
    sys.exit(run_job(main, USER_ERRORS))
