"""Import: folders or CSV files of images become a tile store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fedray.data.decoding import DecodeError, decode_all
from fedray.data.importing.checks import check_label_splits
from fedray.data.importing.folders import list_folder
from fedray.data.importing.images import LeftOut, ListedImage, Listing
from fedray.data.importing.splitting import split_images
from fedray.data.importing.tables import list_csv
from fedray.data.store import StoreError, Tile, TileStore
from fedray.data.writing import check_target, write_store

OnProgress = Callable[[int, int], None]
"""Called with the images done and all images."""


@dataclass(frozen=True)
class ImportOptions:
    """How images become tiles. Of a wrong value, the constructor raises StoreError."""

    size: int
    """Edge of a tile in pixels, 16 to 1024, a multiple of 8."""
    out: Path
    """The store to make."""
    on_error: Literal["fail", "skip"] = "fail"
    """What an image that cannot be decoded does: 'fail' ends the import, 'skip' goes on without it."""
    test_share: float = 0.2
    """Share of the images that goes to the test split, in (0, 1), where the images come without a split."""
    seed: int = 0
    """Of the split."""
    overwrite: bool = False
    """Replace a store that is there already."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 16 <= self.size <= 1024 or self.size % 8:
            raise StoreError(f"size must be 16 to 1024 pixels, a multiple of 8, but got {self.size}")
        if self.on_error not in ("fail", "skip"):
            raise StoreError(f"on_error must be 'fail' or 'skip', but got {self.on_error!r}")
        if not 0 < self.test_share < 1:
            raise StoreError(f"test_share must be in (0, 1), but got {self.test_share}")


@dataclass(frozen=True)
class ImportReport:
    """What an import made."""

    store: TileStore
    skipped: tuple[str, ...] = field(default=())
    """One message for each image that was skipped; it names the file."""
    left_out: tuple[LeftOut, ...] = ()
    """What lay there and did not count, with the reason."""
    notes: tuple[str, ...] = ()


def import_folder(
    folder: str | Path, options: ImportOptions, on_progress: OnProgress = lambda done, total: None
) -> ImportReport:
    """Import label folders, with ``train`` and ``test`` above them or without.

    Raises:
        StoreError: See :func:`fedray.data.importing.folders.list_folder` and :func:`import_images`.
    """
    check_target(options.out.expanduser().resolve(), options.overwrite)
    return import_images(list_folder(folder), options, Path(folder).resolve().name, on_progress)


def import_csv(
    file: str | Path,
    options: ImportOptions,
    images: str | Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> ImportReport:
    """Import the images that a CSV file names; ``images`` is the folder its paths start from (unset: the file's own).

    Raises:
        StoreError: See :func:`fedray.data.importing.tables.list_csv` and :func:`import_images`.
    """
    check_target(options.out.expanduser().resolve(), options.overwrite)
    return import_images(list_csv(file, images), options, Path(file).resolve().name, on_progress)


def import_images(listing: Listing, options: ImportOptions, source: str, on_progress: OnProgress) -> ImportReport:
    """Split, decode and write listed images. Nothing is written unless everything is.

    Raises:
        StoreError: The output exists, a label cannot be split, or an image cannot be decoded (``on_error='fail'``).
    """
    listed = listing.images
    images = list(listed) if listed[0].split else split_images(listed, options.test_share, options.seed)
    label_names = sorted({image.label for image in images})
    domain_names = sorted({image.domain for image in images})
    skipped: list[str] = []
    store = write_store(
        options.out,
        _tiles(images, options, label_names, domain_names, skipped, on_progress),
        label_names=label_names,
        domain_names=domain_names,
        source=source,
        overwrite=options.overwrite,
    )
    return ImportReport(store, tuple(skipped), listing.left_out, listing.notes)


def _tiles(
    images: Sequence[ListedImage],
    options: ImportOptions,
    label_names: Sequence[str],
    domain_names: Sequence[str],
    skipped: list[str],
    on_progress: OnProgress,
) -> Iterator[Tile]:
    """Decode the images in order; fills ``skipped``."""
    labels = {name: code for code, name in enumerate(label_names)}
    domains = {name: code for code, name in enumerate(domain_names)}
    written: set[tuple[str, str | None]] = set()
    decoded = decode_all([image.path for image in images], options.size)
    for done, (image, pixels) in enumerate(zip(images, decoded, strict=True), start=1):
        if isinstance(pixels, DecodeError):
            if options.on_error == "fail":
                raise DecodeError(f"{pixels}; repair or remove the file, or go on without it with --on-error skip")
            skipped.append(str(pixels))
        else:
            written.add((image.label, image.split))
            assert image.split is not None
            group = image.group or image.source
            yield Tile(pixels.pixels, labels[image.label], domains[image.domain], group, image.split, image.source)
        on_progress(done, len(images))
    if skipped:
        expected = [(label, None) for label in label_names]
        check_label_splits([*written, *expected], f"after {len(skipped)} images were skipped")
