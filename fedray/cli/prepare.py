"""The command line that makes a store of images: options in, a table of tiles and what was left out."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from fedray.cli.store import SourceOptions, check_sources, parse_options, print_rest, progress_bar
from fedray.data import (
    SOURCES,
    SPLITS,
    ImportOptions,
    ImportReport,
    StoreError,
    TableOptions,
    TileStore,
    check_shared_target,
    import_csv,
    import_folder,
    import_medmnist,
    import_published,
    import_split_folders,
    recognise,
    upload_store,
)
from fedray.data.decoding import DecodeError
from fedray.terminal import plain_console

_SOURCES_HELP = (
    f"A published data set ({', '.join(SOURCES)}), with the labels, splits and laboratories that it comes with, and "
    "with patients or lesions kept together. Its archives lie unpacked in --images DIR; nothing is downloaded. "
    "docs/import.md says what is expected there."
)


@dataclass(frozen=True)
class PrepareOptions:
    """Options of the job."""

    tiles: Annotated[ImportOptions, tyro.conf.arg(name="")]
    table: Annotated[TableOptions, tyro.conf.arg(name="")]
    source: Annotated[SourceOptions, tyro.conf.arg(name="")]
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the images: label folders, with train and test above them or without; with --source, where its archives
    were unpacked; with --csv, where the table's names start."""
    published: Annotated[str | None, tyro.conf.arg(name="source", metavar="NAME", help=_SOURCES_HELP)] = None
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
    _check_published(options)
    check_sources(source, options.table, "images", ("--images", options.images), {"--medmnist": options.medmnist})
    if options.tiles.group_pattern is not None and options.medmnist is not None:
        raise StoreError("--group-pattern reads the paths of files, so it does not go with a file of arrays")
    if source.upload is not None:
        check_shared_target(source.upload, options.tiles.overwrite)
    try:
        with progress_bar() as show:
            report = run_import(options, lambda done, total: show("decoding", done, total))
    except DecodeError:
        raise  # the folders and tables were understood
    except StoreError as error:
        raise StoreError(f"{error}{_published_instead(options)}") from None
    if source.upload is not None:
        upload_store(report.store, source.upload)
    print_report(report, source.upload or str(report.store.path), source.list_left_out)


def _check_published(options: PrepareOptions) -> None:
    """Refuse a published data set without its folder, or with options that say what it says itself."""
    if options.published is None:
        return
    if options.images is None or options.source.csv is not None:
        raise StoreError(
            f"--source {options.published} reads the folder in which its archives were unpacked: --images DIR"
        )
    said = {
        "--levels": options.source.levels,
        "--domains": options.source.domains,
        "--group-pattern": options.tiles.group_pattern is not None,
    }
    for option in (name for name, given in said.items() if given):
        raise StoreError(f"{option} does not go with --source: the data set says that itself; leave one of them out")


def _published_instead(options: PrepareOptions) -> str:
    """Offer the published data set that a folder looks like which could not be imported as one of the user's own."""
    csv = options.source.csv
    folder = options.images or (csv.expanduser().parent if csv is not None else None)
    if folder is None or options.published is not None or options.tiles.out.expanduser().exists():
        return ""
    name = recognise(folder.expanduser())
    return f"; it looks like {name}: --source {name} --images {shlex.quote(str(folder))}" if name else ""


def run_import(options: PrepareOptions, on_progress: Callable[[int, int], None]) -> ImportReport:
    """Import from the source that was given."""
    source = options.source
    if options.published is not None:
        assert options.images is not None
        return import_published(options.published, options.images, options.tiles, on_progress)
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
    rows: dict[str, Rows] = {split: store.indices(split) for split in SPLITS}
    table = Table(title=Text(f"{store.name}: {len(store):,} tiles of {store.tile_size} px"))
    for column in ("split", *store.label_names, "all"):
        table.add_column(Text(column), justify="left" if column == "split" else "right")
    for split in SPLITS:
        table.add_row(split, *_count_labels(store, rows[split]))
    console.print(table)
    for split in SPLITS:
        console.print(f"balance of {split}: {_balance(store, rows[split])}")
    console.print(f"domains: {', '.join(store.domain_names)}; groups: {_count_groups(store, rows)}")
    console.print(f"fingerprint: {store.fingerprint}; skipped images: {len(report.skipped)}")
    print_rest(console, report, place, list_left_out)


Rows = NDArray[np.int64]


def _count_labels(store: TileStore, rows: Rows) -> list[str]:
    counts = np.bincount(store.labels[rows], minlength=len(store.label_names))
    return [f"{count:,}" for count in (*counts, counts.sum())]


def _balance(store: TileStore, rows: Rows) -> str:
    shares = np.bincount(store.labels[rows], minlength=len(store.label_names)) / max(len(rows), 1)
    return ", ".join(f"{name} {share:.1%}" for name, share in zip(store.label_names, shares, strict=True))


def _count_groups(store: TileStore, rows: Mapping[str, Rows]) -> str:
    """Count the patients, slides or lesions of each split."""
    counts = ", ".join(f"{len(np.unique(store.groups[of_split])):,} in {split}" for split, of_split in rows.items())
    return f"{len(store.group_names):,} ({counts})"
