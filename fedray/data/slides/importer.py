"""From slides to a store: plan every slide, split whole groups, cut, write."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from fedray.data.importing.checks import check_label_splits, check_listing
from fedray.data.importing.dealt_scanners import deal_scanners, rendered_source
from fedray.data.importing.images import LeftOut, ListedImage, Listing
from fedray.data.importing.labels import settle_labels, sorted_names
from fedray.data.importing.named_groups import group_by_name
from fedray.data.importing.option_texts import parse_pairs
from fedray.data.importing.outside import refuse_outside
from fedray.data.importing.overlap import refuse_overlap
from fedray.data.importing.splitting import split_images
from fedray.data.parallel import num_cores
from fedray.data.pseudonyms import Naming, naming_of
from fedray.data.scanners import SCANNERS, render
from fedray.data.slides.cutting import cut_tiles
from fedray.data.slides.grid import Grid, choose_reading, plan_grid
from fedray.data.slides.mask import find_tissue, read_overview
from fedray.data.slides.opening import open_slide
from fedray.data.slides.options import CutOptions
from fedray.data.slides.picture import SUFFIX, draw_mask, save_mask
from fedray.data.slides.slide import Slide, SlideError
from fedray.data.store import StoreError, Tile, TileStore
from fedray.data.writing import check_target, partial_directory, write_store
from fedray.storage import is_foreign
from fedray.storage.lock import LOCK
from fedray.storage.whole import put_in_place

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is."""

_SAMPLE_BYTES = 2**20


@dataclass(frozen=True)
class CutSlide:
    """What became of one slide."""

    source: str
    label: str
    split: str
    mpp: float
    """Micrometres per pixel of the level that its tiles were read from."""
    num_tiles: int
    num_background: int
    """Whole tiles with too little tissue."""
    num_margin: int
    """Places that the slide's right or lower end cuts."""
    num_unreadable: int = 0
    """Tiles that could not be decoded (``on_error='skip'``)."""


@dataclass(frozen=True)
class CutReport:
    """What was made of the slides."""

    store: TileStore
    slides: tuple[CutSlide, ...]
    masks: Path
    """Folder of the pictures."""
    skipped: tuple[str, ...] = ()
    """One message for each slide that was skipped, or of which tiles were; it names the file."""
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Plan:
    """A slide that has tiles to cut."""

    listed: ListedImage
    grid: Grid
    mpp: float


def cut_slides(
    listing: Listing, options: CutOptions, source: str, on_progress: OnProgress = lambda what, done, total: None
) -> CutReport:
    """Cut listed slides into a store. Nothing is written unless everything is; memory does not grow with the slides.

    Args:
        listing: The slides.
        options: How they are cut.
        source: Where they come from, for people.
        on_progress: Is told of every slide that is planned and every tile that is cut.

    Raises:
        StoreError: The output exists, a rule of :mod:`fedray.data.importing.checks` or of
            :mod:`fedray.data.importing.labels` is broken, a slide is listed twice, none has tissue, a label cannot be
            split, or a slide cannot be read (``on_error='fail'``).
    """
    check_target(options.out.expanduser().resolve(), options.overwrite)
    _check_pictures(options.masks_folder, options.overwrite)
    refuse_outside(listing, options.outside)
    naming = naming_of(options.names)
    listing = settle_labels(listing, parse_pairs(options.labels, "--labels", "OLD=NEW,OLD=NEW"), options.on_error)
    listing = group_by_name(listing, options.group_pattern)
    check_listing(listing, source)
    refuse_overlap(listing, source, "correct the splits, or leave them to the import")
    _check_twins(listing.images)
    threads = options.threads or num_cores()
    skipped: list[str] = []
    with (
        partial_directory(options.masks_folder) as pictures,
        ThreadPoolExecutor(threads, thread_name_prefix="slides") as executor,
    ):
        plans, empty = _plan_all(listing.images, options, executor, threads + 1, pictures, skipped, on_progress)
        plans = _with_splits(plans, options)
        job = _Cutting(plans, options, naming, executor, threads + 1, skipped, on_progress)
        store = write_store(
            options.out,
            job.tiles(),
            label_names=job.label_names,
            domain_names=job.domain_names,
            source=rendered_source(source, options.scanner_names),
            names=options.names,
            overwrite=options.overwrite,
        )
        put_in_place(pictures, options.masks_folder)
    slides = sorted([*job.slides, *empty], key=lambda slide: slide.source)
    notes = (*listing.notes, *naming.notes())
    return CutReport(store, tuple(slides), options.masks_folder, tuple(skipped), listing.left_out, notes)


def _plan_all(
    listed: Sequence[ListedImage],
    options: CutOptions,
    executor: Executor,
    num_ahead: int,
    pictures: Path,
    skipped: list[str],
    on_progress: OnProgress,
) -> tuple[list[_Plan], list[CutSlide]]:
    """Find the tissue of every slide. Returns the slides with tiles, and those without; fills ``skipped``."""
    plans, empty = [], []
    for index, image in enumerate(listed):
        on_progress("finding tissue", index, len(listed))
        try:
            with open_slide(image.path, options.mpp, options.bits) as slide:
                grid = _plan(slide, options, executor, num_ahead, pictures, index)
                mpp = max(slide.levels[grid.reading.level].mpp)
        except SlideError as error:
            _fail_or_skip(error, options, skipped)
            continue
        if grid.num_kept:
            plans.append(_Plan(image, grid, mpp))
        else:
            empty.append(
                CutSlide(image.source, image.label, image.split or "", mpp, 0, grid.num_background, grid.num_margin)
            )
    if not plans:
        raise StoreError(
            f"no slide has a tile of {options.size} px at {options.resolution:g} um per pixel with enough tissue: of "
            f"{len(listed)} slides, {len(skipped)} cannot be read and {len(empty)} have too little; lower "
            "--tissue-share, or set --threshold"
        )
    return plans, empty


def _plan(slide: Slide, options: CutOptions, executor: Executor, num_ahead: int, pictures: Path, index: int) -> Grid:
    reading = choose_reading(slide, options.size, options.resolution)
    overview = read_overview(slide, executor, num_ahead)
    tissue = find_tissue(overview, options.threshold)
    grid = plan_grid(slide, reading, overview, tissue.mask, options.tissue_share)
    save_mask(draw_mask(slide, overview, tissue, grid), pictures, index, slide.path)
    return grid


def _with_splits(plans: Sequence[_Plan], options: CutOptions) -> list[_Plan]:
    """Give every slide its split, each label must be in both, and where that is wanted its scanner."""
    listed, num_tiles = [plan.listed for plan in plans], [plan.grid.num_kept for plan in plans]
    if listed[0].split is None:
        listed = split_images(listed, options.test_share, options.seed, num_tiles)
    else:
        check_label_splits([(image.label, image.split) for image in listed], "of the slides with tissue")
    listed = deal_scanners(listed, options.scanner_names, options.seed, num_tiles)
    return [replace(plan, listed=image) for plan, image in zip(plans, listed, strict=True)]


class _Cutting:
    """The tiles of all slides, one slide after another, and what became of each."""

    def __init__(
        self,
        plans: Sequence[_Plan],
        options: CutOptions,
        naming: Naming,
        executor: Executor,
        num_ahead: int,
        skipped: list[str],
        on_progress: OnProgress,
    ) -> None:
        self._naming = naming
        self.label_names = sorted_names(plan.listed.label for plan in plans)
        self.domain_names = sorted_names(plan.listed.domain for plan in plans)
        self.slides: list[CutSlide] = []
        self._plans, self._options, self._executor, self._num_ahead = plans, options, executor, num_ahead
        self._skipped, self._on_progress = skipped, on_progress

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles; fills ``slides`` and what was skipped."""
        total = sum(plan.grid.num_kept for plan in self._plans)
        num_skipped, done = len(self._skipped), 0
        written: set[tuple[str, str | None]] = set()
        for plan in self._plans:
            for tile in self._tiles_of(plan):
                self._on_progress("cutting", done, total)
                written.add((plan.listed.label, plan.listed.split))
                done += 1
                yield tile
        if len(self._skipped) > num_skipped:
            expected = [(label, None) for label in self.label_names]
            check_label_splits([*written, *expected], f"after tiles of {len(self._skipped)} slides were skipped")

    def _tiles_of(self, plan: _Plan) -> Iterator[Tile]:
        image, options = plan.listed, self._options
        label, domain = self.label_names.index(image.label), self.domain_names.index(image.domain)
        assert image.split is not None
        group, source = self._naming("group", image.group or image.source), self._naming("file", image.source)
        unreadable: list[SlideError] = []
        with (
            open_slide(image.path, options.mpp, options.bits) as slide,
            closing(cut_tiles(slide, plan.grid, self._executor, self._num_ahead)) as cuts,
        ):
            for cut in cuts:
                if isinstance(cut.tile, SlideError):
                    unreadable.append(cut.tile)
                    if options.on_error == "fail":
                        _fail_or_skip(cut.tile, options, self._skipped)
                    continue
                place = f"{source}, x {cut.x}, y {cut.y}"
                pixels = render(cut.tile, SCANNERS[image.domain]) if options.scanners else cut.tile
                yield Tile(pixels, label, domain, group, image.split, place, image.client)
        num_tiles = plan.grid.num_kept - len(unreadable)
        if unreadable:
            self._skipped.append(f"{len(unreadable)} of {plan.grid.num_kept} tiles, first: {unreadable[0]}")
        counts = (num_tiles, plan.grid.num_background, plan.grid.num_margin, len(unreadable))
        self.slides.append(CutSlide(image.source, image.label, image.split, plan.mpp, *counts))


def _fail_or_skip(error: SlideError, options: CutOptions, skipped: list[str]) -> None:
    if options.on_error == "fail":
        raise SlideError(f"{error}. Or go on without what cannot be read: --on-error skip") from None
    skipped.append(str(error))


def _is_picture(name: str) -> bool:
    return name.endswith(SUFFIX) or name == LOCK or is_foreign(name)


def _check_pictures(folder: Path, overwrite: bool) -> None:
    """Refuse a folder for the pictures that is taken; only such pictures are ever replaced."""
    if not folder.exists():
        return
    if not overwrite:
        raise StoreError(f"the folder {folder} exists already; choose another --masks, or replace it with --overwrite")
    if not folder.is_dir() or any(not _is_picture(entry.name) for entry in folder.iterdir()):
        raise StoreError(
            f"{folder} holds more than pictures of masks (*{SUFFIX}), so it is not replaced; choose another --masks"
        )


def _check_twins(listed: Sequence[ListedImage]) -> None:
    """Refuse a slide that is there twice: its tiles would be in both splits, or under two labels."""
    seen: dict[str, str] = {}
    for image in listed:
        if not image.path.is_file():
            continue  # opening it says so
        twin = seen.setdefault(_digest(image.path), image.source)
        if twin != image.source:
            raise StoreError(
                f"the slides {twin} and {image.source} are the same file: its tiles would be there twice, perhaps in "
                "both splits or under two labels; remove one"
            )


def _digest(path: Path) -> str:
    """Hash a slide's size, its first, middle and last bytes: whole slides take minutes to read."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        for start in (0, size // 2, max(0, size - _SAMPLE_BYTES)):
            file.seek(start)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
