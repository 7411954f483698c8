"""The command line that makes a store of images: options in, a table of tiles and what was left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.table import Table
from rich.text import Text

from fedray.cli.store import SourceOptions, check_sources, parse_options, print_rest, progress_bar
from fedray.data import (
    SPLITS,
    ImportOptions,
    ImportReport,
    StoreError,
    TableOptions,
    check_shared_target,
    import_csv,
    import_folder,
    import_medmnist,
    import_split_folders,
    upload_store,
)
from fedray.terminal import plain_console


@dataclass(frozen=True)
class PrepareOptions:
    """Options of the job."""

    tiles: Annotated[ImportOptions, tyro.conf.arg(name="")]
    table: Annotated[TableOptions, tyro.conf.arg(name="")]
    source: Annotated[SourceOptions, tyro.conf.arg(name="")]
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the images: label folders, with train and test above them or without; with --csv, where the table's
    names start."""
    medmnist: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File of MedMNIST (.npz)."""


def prepare(argv: Sequence[str], description: str) -> None:
    """Run the job.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        StoreError: The message is for the user.
    """
    options = parse_options(PrepareOptions, argv, description)
    source = options.source
    check_sources(source, options.table, "images", ("--images", options.images), {"--medmnist": options.medmnist})
    if options.tiles.group_pattern is not None and options.medmnist is not None:
        raise StoreError("--group-pattern reads the paths of files, so it does not go with a file of arrays")
    if source.upload is not None:
        check_shared_target(source.upload, options.tiles.overwrite)
    with progress_bar() as show:
        report = run_import(options, lambda done, total: show("decoding", done, total))
    if source.upload is not None:
        upload_store(report.store, source.upload)
    print_report(report, source.upload or str(report.store.path), source.list_left_out)


def run_import(options: PrepareOptions, on_progress: Callable[[int, int], None]) -> ImportReport:
    """Import from the source that was given."""
    source = options.source
    if source.csv is not None:
        return import_csv(source.csv, options.tiles, options.images, on_progress, table=options.table)
    if options.medmnist is not None:
        return import_medmnist(options.medmnist, options.tiles, on_progress)
    levels, domains = source.parsed_levels, source.domains
    if source.train is not None and source.test is not None:
        return import_split_folders(
            source.train, source.test, options.tiles, on_progress, levels=levels, domains=domains
        )
    assert options.images is not None
    return import_folder(options.images, options.tiles, on_progress, levels=levels, domains=domains)


def print_report(report: ImportReport, place: str, list_left_out: bool) -> None:
    """Print the tiles of each split and label, what was skipped and left out, and how to use the store."""
    console = plain_console(soft_wrap=True)
    store = report.store
    table = Table(title=Text(f"{store.name}: {len(store):,} tiles of {store.tile_size} px"))
    for column in ("split", *store.label_names, "all"):
        table.add_column(Text(column), justify="left" if column == "split" else "right")
    for split in SPLITS:
        counts = np.bincount(store.labels[store.indices(split)], minlength=len(store.label_names))
        table.add_row(split, *(f"{count:,}" for count in counts), f"{counts.sum():,}")
    console.print(table)
    console.print(f"domains: {', '.join(store.domain_names)}; groups: {len(store.group_names):,}")
    console.print(f"fingerprint: {store.fingerprint}; skipped images: {len(report.skipped)}")
    print_rest(console, report, place, list_left_out)
