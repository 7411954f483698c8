"""Which slides there are: label folders or a table, as the import of pictures reads them, and one entry a slide."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import openslide

from fedray.data.decoding.formats import UNREAD_SLIDE_REMEDY, UNREAD_SLIDE_SUFFIXES
from fedray.data.importing.contents import describe_reasons
from fedray.data.importing.folders import list_folder, list_split_folders
from fedray.data.importing.images import LeftOut, ListedImage, Listing, OnError
from fedray.data.importing.splits import ValidationChoice
from fedray.data.importing.tables import TableOptions, list_table
from fedray.data.importing.text_tables import read_table
from fedray.data.slides.opening import SUFFIXES
from fedray.data.store import StoreError

NO_SLIDE = "a picture that is no slide: jobs/prepare_data.py imports it"
UNREAD_SLIDE = f"a slide in a format that is not read: {UNREAD_SLIDE_REMEDY}"
SAME_SLIDE = "a further file of a DICOM slide"
COLUMN = "slide"
"""What the column of the files is called in a table of slides."""


def list_slide_folder(
    folder: str | Path,
    levels: Sequence[str] | None = None,
    domains: bool = False,
    validation: ValidationChoice | None = None,
) -> Listing:
    """List the slides of label folders: :func:`fedray.data.importing.folders.list_folder`, without other pictures.

    Raises:
        StoreError: As there, or there is no slide.
    """
    return _slides_of(list_folder(folder, levels, domains, validation), str(folder))


def list_slide_split_folders(
    train: str | Path, test: str | Path, levels: Sequence[str] | None = None, domains: bool = False
) -> Listing:
    """List the slides of two folders, one a split: :func:`fedray.data.importing.folders.list_split_folders`.

    Raises:
        StoreError: As there, or there is no slide.
    """
    return _slides_of(list_split_folders(train, test, levels, domains), f"{train} and {test}")


def list_slide_table(
    file: str | Path,
    folder: str | Path | None = None,
    options: TableOptions | None = None,
    validation: ValidationChoice | None = None,
    on_error: OnError = "fail",
) -> Listing:
    """List the slides of a table: :func:`fedray.data.importing.tables.list_table`, with the files in the column slide.

    Raises:
        StoreError: As there.
    """
    options = options or TableOptions()
    if "image=" not in options.columns and COLUMN in read_table(file, options.encoding).header:
        columns = f"image={COLUMN}" + (f",{options.columns}" if options.columns else "")
        options = replace(options, columns=columns)
    return list_table(file, folder, options, validation, on_error)


def _slides_of(listing: Listing, place: str) -> Listing:
    """Take the slides among the pictures that were found."""
    found = [image for image in listing.images if image.path.suffix.lower() in SUFFIXES]
    others = [LeftOut(i.source, _why_none(i.path)) for i in listing.images if i.path.suffix.lower() not in SUFFIXES]
    slides, files = one_file_a_slide(found)
    left_out = (*listing.left_out, *others, *files)
    if not slides:
        raise StoreError(
            f"no slide ({' '.join(SUFFIXES)}) is in {place}, but {describe_reasons(left_out)}; give the folder of the "
            "slides"
        )
    return replace(listing, images=tuple(slides), left_out=left_out)


def _why_none(path: Path) -> str:
    return UNREAD_SLIDE if path.suffix.lower() in UNREAD_SLIDE_SUFFIXES else NO_SLIDE


def one_file_a_slide(images: list[ListedImage]) -> tuple[list[ListedImage], list[LeftOut]]:
    """Keep one file of each DICOM series: its levels lie in files of their own, which OpenSlide finds by itself."""
    kept, left_out, seen = [], [], set()
    for image, series in zip(images, _series(images), strict=True):
        if series is not None and (image.path.parent, series) in seen:
            left_out.append(LeftOut(image.source, SAME_SLIDE))
            continue
        seen.add((image.path.parent, series))
        kept.append(image)
    return kept, left_out


def _series(images: list[ListedImage]) -> Iterator[str | None]:
    for image in images:
        if image.path.suffix.lower() != ".dcm":
            yield None
            continue
        try:
            with openslide.OpenSlide(str(image.path)) as slide:
                yield slide.properties.get("dicom.SeriesInstanceUID")
        except openslide.OpenSlideError:
            yield None  # opening it says what is wrong with it
