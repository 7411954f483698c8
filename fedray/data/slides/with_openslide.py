"""Slides that OpenSlide reads: scanners' own formats, and DICOM."""

import threading
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from fedray.data.slides.slide import Pixels, Region, Slide, SlideError, make_levels, resolution

NO_VENDOR = "generic-tiff"
"""What OpenSlide calls a tiled TIFF without a scanner's marks; it reads the first of its resolutions alone where the
others lie in SubIFDs (OME-TIFF), and cuts 16 bits down to their upper 8. tifffile reads those."""


class VendorSlide(Slide):
    """A slide in a format that OpenSlide knows."""

    def __init__(self, path: Path, mpp: float | None = None) -> None:
        """Open a slide.

        Args:
            path: The file; of a slide in several files any of DICOM's, or the one that names the others.
            mpp: Micrometres per pixel, used where the file states none.

        Raises:
            SlideError: OpenSlide cannot open it, or there is no resolution.
        """
        self.path = path
        self._file = _open(path)
        properties = self._file.properties
        stated = properties.get(openslide.PROPERTY_NAME_MPP_X), properties.get(openslide.PROPERTY_NAME_MPP_Y)
        power = properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        hint = f" (only that its objective has {power}x)" if power else ""
        finest = resolution(path, _pair(*stated), mpp, hint)
        sizes = list(self._file.level_dimensions)
        self.levels = make_levels(path, sizes, finest)
        self.scanned = _bounds(self._file)
        self._glass = "#" + properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        self._reopening = threading.Lock()

    def read(self, level: int, region: Region) -> Pixels:
        """See :meth:`Slide.read`."""
        file = self._file
        try:
            return self._read(file, level, region)
        except openslide.OpenSlideError:
            # OpenSlide refuses everything after its first error, other threads' reads of sound regions included: each
            # is tried again on a file of its own, so that what can be read does not depend on the order of the reads.
            self._replace(file)
            with _open(self.path) as alone:
                try:
                    return self._read(alone, level, region)
                except openslide.OpenSlideError as error:
                    raise SlideError(f"cannot read the slide {self.path} at {tuple(region)}: {error}") from None

    def close(self) -> None:
        """See :meth:`Slide.close`."""
        self._file.close()

    def _read(self, file: openslide.OpenSlide, level: int, region: Region) -> Pixels:
        across = self.levels[0].width / self.levels[level].width
        down = self.levels[0].height / self.levels[level].height
        # OpenSlide wants the corner in pixels of level 0, and the size in those of the level.
        corner = round(region.left * across), round(region.top * down)
        image = file.read_region(corner, level, (region.width, region.height))
        if image.getchannel("A").getextrema()[0] < 255:  # not scanned; without this it would be black
            glass = Image.new("RGBA", image.size, self._glass)
            glass.alpha_composite(image)
            image = glass
        return np.asarray(image.convert("RGB"))

    def _replace(self, broken: openslide.OpenSlide) -> None:
        with self._reopening:
            if self._file is broken:  # the first thread that met the error
                self._file = _open(self.path)


def vendor_of(path: Path) -> str | None:
    """Return OpenSlide's name of the file's format; None where it knows none."""
    vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    return vendor


def _open(path: Path) -> openslide.OpenSlide:
    try:
        return openslide.OpenSlide(str(path))
    except openslide.OpenSlideError as error:
        raise SlideError(f"cannot open the slide {path}: {error}; get the file again, or remove it") from None


def _pair(x: str | None, y: str | None) -> tuple[float, float] | None:
    try:
        return (float(x), float(y)) if x and y else None
    except ValueError:
        return None


def _bounds(file: openslide.OpenSlide) -> Region:
    names = (
        openslide.PROPERTY_NAME_BOUNDS_X,
        openslide.PROPERTY_NAME_BOUNDS_Y,
        openslide.PROPERTY_NAME_BOUNDS_WIDTH,
        openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
    )
    if all(name in file.properties for name in names):
        return Region(*(int(file.properties[name]) for name in names))
    return Region(0, 0, *file.dimensions)
