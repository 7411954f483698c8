"""The command line that cuts slides into a store: options in, a table of slides and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from fedray.cli.store import SourceOptions, check_sources, parse_options, print_rest, progress_bar
from fedray.data import TableOptions, check_shared_target, upload_store
from fedray.data.importing.images import Listing
from fedray.data.slides import (
    CutOptions,
    CutReport,
    cut_slides,
    list_slide_folder,
    list_slide_split_folders,
    list_slide_table,
)
from fedray.terminal import plain_console


@dataclass(frozen=True)
class CutJobOptions:
    """Options of the job."""

    tiles: Annotated[CutOptions, tyro.conf.arg(name="")]
    table: Annotated[TableOptions, tyro.conf.arg(name="")]
    source: Annotated[SourceOptions, tyro.conf.arg(name="")]
    slides: Annotated[Path | None, tyro.conf.arg(metavar="DIR", aliases=["--images"])] = None
    """Folder of the slides: label folders, with train and test above them or without; with --csv, where the table's
    names start."""


def cut(argv: Sequence[str], description: str) -> None:
    """Run the job.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        StoreError: The message is for the user.
    """
    options = parse_options(CutJobOptions, argv, description)
    source = options.source
    check_sources(source, options.table, "slides", ("--slides", options.slides))
    if source.upload is not None:
        check_shared_target(source.upload, options.tiles.overwrite)
    listing = list_slides(options)
    places = [source.csv] if source.csv else [place for place in (source.train, source.test, options.slides) if place]
    name = " and ".join(place.resolve().name for place in places)
    with progress_bar() as show:
        report = cut_slides(listing, options.tiles, name, show)
    if source.upload is not None:
        upload_store(report.store, source.upload)
    print_report(report, source.upload or str(report.store.path), source.list_left_out)


def list_slides(options: CutJobOptions) -> Listing:
    """List the slides of the source that was given."""
    source, tiles = options.source, options.tiles
    if source.csv is not None:
        return list_slide_table(source.csv, options.slides, options.table, tiles.val, tiles.on_error)
    levels = source.parsed_levels
    if source.train is not None and source.test is not None:
        return list_slide_split_folders(source.train, source.test, levels, source.domains)
    assert options.slides is not None
    return list_slide_folder(options.slides, levels, source.domains, tiles.val)


def print_report(report: CutReport, place: str, list_left_out: bool) -> None:
    """Print what was cut and left out of each slide, and how to use the store."""
    console = plain_console(soft_wrap=True)
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
    console.print(f"what was taken for tissue, slide by slide (look at it): {report.masks}")
    console.print(f"fingerprint: {store.fingerprint}; groups: {len(store.group_names):,}")
    print_rest(console, report, place, list_left_out)
