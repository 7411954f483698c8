"""The import: what a folder, a table or a file of arrays holds becomes a tile store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from fedray.data.decoding import Asked, DecodedTile, DecodeError, decode_all
from fedray.data.importing.checks import check_choice, check_label_splits, check_listing, check_tile_size
from fedray.data.importing.dealt_scanners import deal_scanners, parse_scanners, rendered_source
from fedray.data.importing.folders import list_folder, list_split_folders
from fedray.data.importing.images import LeftOut, ListedImage, Listing, OnError
from fedray.data.importing.inspection import SAME_PIXELS, Inspection
from fedray.data.importing.labels import settle_labels, sorted_names
from fedray.data.importing.leaks import Duplicates
from fedray.data.importing.medmnist import list_medmnist, medmnist_tiles
from fedray.data.importing.named_groups import group_by_name
from fedray.data.importing.option_texts import parse_pairs
from fedray.data.importing.outside import OutsideChoice, refuse_outside
from fedray.data.importing.overlap import OverlapChoice, leave_out_overlap, refuse_overlap
from fedray.data.importing.patients import group_by_patient
from fedray.data.importing.splits import ValidationChoice
from fedray.data.importing.splitting import split_images
from fedray.data.importing.tables import TableOptions, list_table
from fedray.data.pseudonyms import NAMINGS, Naming, naming_of
from fedray.data.scanners import SCANNERS, render
from fedray.data.store import Names, StoreError, Tile, TileStore
from fedray.data.writing import check_target, write_store

OnProgress = Callable[[int, int], None]
"""Called with the images done and all images."""

Decode = Callable[[Sequence[ListedImage], "ImportOptions"], Iterator[DecodedTile | DecodeError]]
"""Yields the tiles of images, in their order; one that cannot be decoded yields its error."""


def _unseen(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class ImportOptions:
    """How images become tiles. Of a wrong value, the constructor raises StoreError."""

    size: int
    """Edge of a tile in pixels, 16 to 1024, a multiple of 8."""
    out: Path
    """The store to make."""
    on_error: OnError = "fail"
    """What an image that cannot be decoded does, or a table's row without a picture or without one label: 'fail' ends
    the import, 'skip' goes on without it and counts it."""
    labels: str = ""
    """Rename labels: OLD=NEW,OLD=NEW. Two of one NEW are joined, OLD= leaves its images out, OLD=OLD takes a label that
    was questioned as it stands."""
    group_pattern: str | None = None
    """Regular expression that finds the patient or slide in an image's path, such as 'TCGA-..-....': no split and no
    partition separates those. '' if the paths name none; unset: names that look so are questioned."""
    val: ValidationChoice | None = None
    """What becomes of the images of a validation split, as a store has train and test: they join one of them, or are
    left out. Unset: refused, and joined to train in a MedMNIST file."""
    bits: int | None = None
    """Bits that a pixel's numbers use, such as 12, where the files store more and do not say so."""
    value_range: tuple[float, float] | None = None
    """The values that become black and white, where neither the files nor --bits say so: floating-point, signed and
    32-bit images; DICOM instead of its windows."""
    duplicates: Duplicates = "refuse"
    """What images with the same pixels do: 'refuse' ends the import with the pairs, 'first' keeps one of each, the one
    in test where the splits are given. Under two labels they are refused in any case."""
    overlap: OverlapChoice = "refuse"
    """What becomes of a patient, slide or lesion that is in both splits as given: 'refuse' ends the import with the
    counts, 'leave-out' takes its training images out and leaves the test split as it is."""
    outside: OutsideChoice = "refuse"
    """What becomes of images and tables outside the folder, where a row with '..' or an absolute path, or a link leads:
    'refuse' ends the import with the count, 'allow' takes them."""
    names: Names = "pseudonyms"
    """What the store calls patients and files: 'pseudonyms', hashes with a key of yours (FEDRAY_PATIENT_KEY, or
    ~/.config/fedray/patient.key, made where it is missing), or 'plain', as they are."""
    scanners: str = ""
    """Render the tiles as scanners would, NAME,NAME: deterministic changes of stain, colour, focus and resolution, for
    pictures of one scanner (docs/data.md shows them). Whole patients are dealt to them, which become the store's
    domains."""
    test_share: float = 0.2
    """Share of the images that goes to the test split, in (0, 1), where the images come without a split."""
    seed: int = 0
    """Of the split, and of which patient is dealt to which scanner."""
    overwrite: bool = False
    """Replace a store that is there already."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_tile_size(self.size)
        check_choice("on_error", self.on_error, get_args(OnError))
        check_choice("duplicates", self.duplicates, get_args(Duplicates))
        check_choice("overlap", self.overlap, get_args(OverlapChoice))
        check_choice("outside", self.outside, get_args(OutsideChoice))
        check_choice("names", self.names, NAMINGS)
        if not 0 < self.test_share < 1:
            raise StoreError(f"test_share must be in (0, 1), but got {self.test_share}")
        assert self.asked is not None and self.scanner_names is not None  # checks bits, value_range and scanners

    @property
    def asked(self) -> Asked:
        """What the user says about the values of pixels."""
        return Asked(self.bits, self.value_range)

    @property
    def scanner_names(self) -> tuple[str, ...]:
        """The scanners that render the tiles; none: tiles stay as they are."""
        return parse_scanners(self.scanners)


@dataclass(frozen=True)
class ImportReport:
    """What an import made."""

    store: TileStore
    skipped: tuple[str, ...] = field(default=())
    """One message for each image that was skipped; it names the file."""
    left_out: tuple[LeftOut, ...] = ()
    """What lay there and did not count, with the reason."""
    notes: tuple[str, ...] = ()


def decode_files(images: Sequence[ListedImage], options: ImportOptions) -> Iterator[DecodedTile | DecodeError]:
    """Decode images that are files."""
    return decode_all([image.path for image in images], options.size, options.asked)


def import_folder(
    folder: str | Path,
    options: ImportOptions,
    on_progress: OnProgress = _unseen,
    *,
    levels: Sequence[str] | None = None,
    domains: bool = False,
) -> ImportReport:
    """Import label folders, with ``train`` and ``test`` above them or without.

    Args:
        folder: The folder above those.
        options: How images become tiles.
        on_progress: Called after each image.
        levels: What each level of folders is, see :func:`fedray.data.importing.folders.list_folder`.
        domains: The labels lie in folders of their domains.

    Raises:
        StoreError: See :func:`fedray.data.importing.folders.list_folder` and :func:`import_images`.
    """
    _check_out(options)
    listing = list_folder(folder, levels, domains, options.val)
    return import_images(listing, options, Path(folder).resolve().name, on_progress)


def import_split_folders(
    train: str | Path,
    test: str | Path,
    options: ImportOptions,
    on_progress: OnProgress = _unseen,
    *,
    levels: Sequence[str] | None = None,
    domains: bool = False,
) -> ImportReport:
    """Import two folders, one a split, with label folders in each.

    Raises:
        StoreError: See :func:`fedray.data.importing.folders.list_split_folders` and :func:`import_images`.
    """
    _check_out(options)
    names = " and ".join(Path(folder).resolve().name for folder in (train, test))
    return import_images(list_split_folders(train, test, levels, domains), options, names, on_progress)


def import_csv(
    file: str | Path,
    options: ImportOptions,
    images: str | Path | None = None,
    on_progress: OnProgress = _unseen,
    *,
    table: TableOptions | None = None,
) -> ImportReport:
    """Import the images that a table names.

    Args:
        file: The table.
        options: How images become tiles.
        images: Folder that its paths start from; unset: the table's own.
        on_progress: Called after each image.
        table: How the table is read.

    Raises:
        StoreError: See :func:`fedray.data.importing.tables.list_table` and :func:`import_images`.
    """
    _check_out(options)
    listing = list_table(file, images, table, options.val, options.on_error)
    return import_images(listing, options, Path(file).resolve().name, on_progress)


def import_medmnist(file: str | Path, options: ImportOptions, on_progress: OnProgress = _unseen) -> ImportReport:
    """Import a file of MedMNIST, with its own splits.

    Raises:
        StoreError: See :func:`fedray.data.importing.medmnist.list_medmnist` and :func:`import_images`.
    """
    _check_out(options)
    listing = list_medmnist(file, options.val)
    return import_images(listing, options, Path(file).name, on_progress, _decode_medmnist)


def import_images(
    listing: Listing,
    options: ImportOptions,
    source: str,
    on_progress: OnProgress,
    decode: Decode = decode_files,
) -> ImportReport:
    """Settle the labels, split, decode and write listed images. Nothing is written unless everything is.

    Args:
        listing: What was found.
        options: How images become tiles.
        source: Where the images come from, for people.
        on_progress: Called after each image.
        decode: Yields the tiles of images, in their order.

    Raises:
        StoreError: A rule of :mod:`fedray.data.importing.checks` or :mod:`fedray.data.importing.labels` is broken, a
            label cannot be split, or an image cannot be decoded (``on_error='fail'``).
    """
    refuse_outside(listing, options.outside)
    naming = naming_of(options.names)
    listing = settle_labels(listing, parse_pairs(options.labels, "--labels", "OLD=NEW,OLD=NEW"), options.on_error)
    if decode is decode_files:
        listing = replace(listing, images=tuple(group_by_patient(listing.images)))
        listing = group_by_name(listing, options.group_pattern)
    if options.overlap == "leave-out":
        listing = leave_out_overlap(listing)
    refuse_overlap(listing, source, "--overlap leave-out takes those training images out, or correct the splits")
    check_listing(listing, source)
    images = listing.images
    if images[0].split is None:
        images = tuple(split_images(images, options.test_share, options.seed))
    elif options.duplicates == "first":
        # The first of equal images is kept: the test set stays as it was published, the training set loses them.
        images = tuple(sorted(images, key=lambda image: image.split != "test"))
    images = tuple(deal_scanners(images, options.scanner_names, options.seed))
    label_names = sorted_names(image.label for image in images)
    domain_names = sorted_names(image.domain for image in images)
    outcome = _Outcome(naming, Inspection(options.size, options.duplicates, options.asked))
    store = write_store(
        options.out,
        _tiles(images, decode(images, options), options, label_names, domain_names, outcome, on_progress),
        label_names=label_names,
        domain_names=domain_names,
        source=rendered_source(source, options.scanner_names),
        names=options.names,
        overwrite=options.overwrite,
    )
    return ImportReport(
        store,
        tuple(outcome.skipped),
        (*listing.left_out, *outcome.repeated),
        (*listing.notes, *outcome.inspection.notes(), *naming.notes()),
    )


@dataclass
class _Outcome:
    """What the stream of tiles leaves behind, and how it names them."""

    naming: Naming
    inspection: Inspection
    skipped: list[str] = field(default_factory=list)
    repeated: list[LeftOut] = field(default_factory=list)


def _decode_medmnist(images: Sequence[ListedImage], options: ImportOptions) -> Iterator[DecodedTile]:
    return medmnist_tiles(images, options.size)


def _check_out(options: ImportOptions) -> None:
    """Refuse an output that is taken before anything is read."""
    check_target(options.out.expanduser().resolve(), options.overwrite)


def _tiles(
    images: Sequence[ListedImage],
    decoded: Iterator[DecodedTile | DecodeError],
    options: ImportOptions,
    label_names: Sequence[str],
    domain_names: Sequence[str],
    outcome: _Outcome,
    on_progress: OnProgress,
) -> Iterator[Tile]:
    """Make tiles of decoded images, in their order; fills ``outcome``, and refuses the set at its end."""
    labels = {name: code for code, name in enumerate(label_names)}
    domains = {name: code for code, name in enumerate(domain_names)}
    written: set[tuple[str, str | None]] = set()
    for done, (image, tile) in enumerate(zip(images, decoded, strict=True), start=1):
        if isinstance(tile, DecodeError):
            if options.on_error == "fail":
                raise DecodeError(f"{tile}; repair or remove the file, or go on without it with --on-error skip")
            outcome.skipped.append(str(tile))
        elif not outcome.inspection.admits(image, tile):
            outcome.repeated.append(LeftOut(image.source, SAME_PIXELS))
        else:
            written.add((image.label, image.split))
            assert image.split is not None
            yield Tile(
                render(tile.pixels, SCANNERS[image.domain]) if options.scanners else tile.pixels,
                labels[image.label],
                domains[image.domain],
                outcome.naming("group", image.group or image.source),
                image.split,
                outcome.naming("file", image.source),
                image.client,
            )
        on_progress(done, len(images))
    outcome.inspection.check()
    if num_missing := len(outcome.skipped) + len(outcome.repeated):
        expected = [(label, None) for label in label_names]
        check_label_splits([*written, *expected], f"after {num_missing} images were skipped")
