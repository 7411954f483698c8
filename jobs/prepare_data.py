"""Make a tile store of images: python jobs/prepare_data.py --images DIR --size 64 --out STORE [--csv FILE] [--help].

DIR holds one folder a label, or the folders train and test with one folder a label in each. A CSV file has the
columns image and label and may have domain, group (patient or slide) and split; its paths start from DIR, or from its
own folder. Every image becomes its largest central square, resized with antialiasing, in RGB.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fedray.config.cli import run_job
from fedray.data import (
    SPLITS,
    ImportOptions,
    ImportReport,
    StoreError,
    check_shared_target,
    import_csv,
    import_folder,
    upload_store,
)

USER_ERRORS = (StoreError, OSError)


@dataclass(frozen=True)
class PrepareOptions:
    """Options of the job."""

    tiles: Annotated[ImportOptions, tyro.conf.arg(name="")]
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the images: label folders, with train and test above them or without."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """CSV file that names the images, with the columns image, label and, optionally, domain, group, split."""
    upload: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Copy the finished store to shared storage, for clusters: s3://BUCKET/PATH or gs://BUCKET/PATH."""


def main(argv: Sequence[str]) -> None:
    """Parse, import, print."""
    # What `kill` and `ray job stop` send ends the import as Ctrl-C does: nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = tyro.cli(PrepareOptions, args=argv, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    if options.upload is not None:
        check_shared_target(options.upload, options.tiles.overwrite)
    console = Console(stderr=True)
    columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("decoding", total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        if options.csv is not None:
            report = import_csv(options.csv, options.tiles, options.images, on_progress)
        elif options.images is not None:
            report = import_folder(options.images, options.tiles, on_progress)
        else:
            raise StoreError("--images or --csv must be given; --help explains them")
    if options.upload is not None:
        upload_store(report.store, options.upload)
    print_report(report, options.upload or str(report.store.path))


def print_report(report: ImportReport, place: str) -> None:
    """Print what was skipped, the tiles of each split and label, and how to use the store."""
    console = Console(soft_wrap=True, highlight=False)
    for message in report.skipped:
        print(f"skipped: {message}", file=sys.stderr)
    store = report.store
    table = Table(title=f"{store.name}: {len(store):,} tiles of {store.tile_size} px")
    for column in ("split", *store.label_names, "all"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split in SPLITS:
        counts = np.bincount(store.labels[store.indices(split)], minlength=len(store.label_names))
        table.add_row(split, *(f"{count:,}" for count in counts), f"{counts.sum():,}")
    console.print(table)
    console.print(f"domains: {', '.join(store.domain_names)}; groups: {len(np.unique(store.groups)):,}")
    console.print(f"fingerprint: {store.fingerprint}; skipped images: {len(report.skipped)}")
    console.print(f"train on it: python jobs/train_gan.py --data {place}", markup=False)


if __name__ == "__main__":
    sys.exit(run_job(main, USER_ERRORS))
