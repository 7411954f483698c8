"""Opening: which reader a slide is for."""

from pathlib import Path

import tifffile

from fedray.data.decoding.formats import SLIDE_SUFFIXES, format_of
from fedray.data.slides.slide import Slide, SlideError
from fedray.data.slides.with_openslide import NO_VENDOR, VendorSlide, vendor_of
from fedray.data.slides.with_tifffile import TiffSlide

SUFFIXES = (*SLIDE_SUFFIXES, ".tif", ".tiff", ".btf", ".dcm")
"""Endings of the files that may be slides."""


def open_slide(path: Path, mpp: float | None = None, bits: int | None = None) -> Slide:
    """Open a slide.

    Args:
        path: The file; of DICOM any file of the slide's series, of MIRAX the ``.mrxs`` beside the folder.
        mpp: Micrometres per pixel of the finest level, used where the file states none that a slide can have.
        bits: How many of 16 bits a sample are used; not needed for 8.

    Raises:
        SlideError: The file is missing, damaged, no slide, or one whose pixels cannot be read for certain.
    """
    if not path.is_file():
        raise SlideError(f"there is no slide {path}; its path starts from --slides, or from the CSV file's folder")
    try:
        vendor, known = vendor_of(path), format_of(path)
    except OSError as error:
        raise SlideError(f"cannot read the slide {path}: {error.strerror or error}") from None
    is_tiff = known is not None and known.name == "TIFF"
    if vendor not in (None, NO_VENDOR):
        if is_tiff:
            _check_depth(path)
        return VendorSlide(path, mpp)
    if is_tiff:
        return TiffSlide(path, mpp, bits)
    raise SlideError(
        f"{path} is no slide in a format that is read ({' '.join(SUFFIXES)}), or it is damaged; a slide of several "
        "files needs all of them (beside a .mrxs the folder of its name). jobs/prepare_data.py imports small images; a "
        "large one becomes a slide with: vips tiffsave IN OUT.tif --tile --pyramid --bigtiff"
    )


def _check_depth(path: Path) -> None:
    """Refuse a scanner's TIFF above 8 bits: OpenSlide hands out the upper 8 of 16, so 12 bits come out nearly black."""
    try:
        with tifffile.TiffFile(path) as file:
            bits = file.pages.first.bitspersample
    except Exception:  # a dialect that OpenSlide knows and tifffile does not
        return
    if max(bits if isinstance(bits, tuple) else (bits,)) > 8:
        raise SlideError(
            f"the slide {path} holds {bits} bits a sample, of which OpenSlide reads the upper 8; export it with 8"
        )
