"""Slides in plain TIFF: pyramids and single images, tiles and strips, OME-TIFF, more than 8 bits."""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from fedray.data.slides.slide import Level, Pixels, Region, Slide, SlideError, make_levels, resolution

CACHE_BYTES = 64 * 2**20
"""Decoded segments that are kept for the next read of a region beside them."""

MAX_SEGMENT_BYTES = 256 * 2**20
"""A file whose strips or tiles are larger cannot be read a region at a time."""

_AXES = ("YXS", "SYX")
_MICROMETRES = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "in": 25400.0}
_TIFF_UNITS = {2: 25400.0, 3: 10000.0}
_JPEG = (6, 7, 34892, 33007)
_RGB, _YCBCR = 2, 6


class TiffSlide(Slide):
    """A slide in a TIFF file without a scanner's marks."""

    def __init__(self, path: Path, mpp: float | None = None, bits: int | None = None) -> None:
        """Open a slide.

        Args:
            path: The file.
            mpp: Micrometres per pixel, used where the file states none.
            bits: How many of 16 bits a sample are used, 9 to 16; not needed for 8.

        Raises:
            SlideError: It is no TIFF or not one slide, has no resolution, or has pixels whose meaning is uncertain.
        """
        self.path = path
        try:
            self._file = tifffile.TiffFile(path)
            series, index = _slide_series(path, self._file)
            self._pages = [level.keyframe for level in series.levels if level.axes == series.axes]
            for page in self._pages:
                _check_pixels(path, page, bits)
            stated = _ome_resolution(self._file, index) if self._file.is_ome else _tag_resolution(self._pages[0])
        except SlideError:
            raise
        except Exception as error:  # tifffile has no exception of its own for most of what damaged bytes say
            raise SlideError(f"cannot open the slide {path}: {error}; get the file again, or remove it") from None
        self._largest = 2 ** (bits or 16) - 1
        sizes = [(page.imagewidth, page.imagelength) for page in self._pages]
        self.levels: tuple[Level, ...] = make_levels(path, sizes, resolution(path, stated, mpp))
        self.scanned = Region(0, 0, self.levels[0].width, self.levels[0].height)
        self._descriptor = os.open(path, os.O_RDONLY)
        self._cache = _SegmentCache(CACHE_BYTES)

    def read(self, level: int, region: Region) -> Pixels:
        """See :meth:`Slide.read`."""
        page = self._pages[level]
        height, width = _segment_size(page)
        across, down = -(-page.imagewidth // width), -(-page.imagelength // height)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        left, top, columns, rows = region
        pixels = np.full((rows, columns, 3), 255, np.uint8)
        for row in range(top // height, -(-(top + rows) // height)):
            for column in range(left // width, -(-(left + columns) // width)):
                for plane in range(planes):
                    segment = self._segment(level, (plane * down + row) * across + column)
                    if segment is None:  # never written: glass
                        continue
                    y, x = row * height - top, column * width - left
                    target = pixels[max(y, 0) : y + height, max(x, 0) : x + width, plane : plane + 4 - planes]
                    start = segment[max(-y, 0) :, max(-x, 0) :]
                    target[:] = start[: target.shape[0], : target.shape[1]]
        return pixels

    def close(self) -> None:
        """See :meth:`Slide.close`."""
        os.close(self._descriptor)
        self._file.close()

    def _segment(self, level: int, index: int) -> NDArray[np.uint8] | None:
        """Return one strip or tile, uint8 [h, w, 1 or 3]; None where the file holds none."""
        page = self._pages[level]
        if page.databytecounts[index] == 0:
            return None
        kept = self._cache.get((level, index))
        if kept is None:
            kept = self._decode(page, index)
            self._cache.put((level, index), kept)
        return kept

    def _decode(self, page: Any, index: int) -> NDArray[np.uint8]:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        encoded = os.pread(self._descriptor, count, offset)
        try:
            if len(encoded) < count:
                raise ValueError(f"the file ends at byte {os.fstat(self._descriptor).st_size:,}")
            decoded = page.decode(encoded, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
        except Exception as error:  # each codec has exceptions of its own
            raise SlideError(f"cannot read the slide {self.path}, segment {index}: {error}") from None
        return self._to_8_bits(decoded[0])

    def _to_8_bits(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        if samples.dtype == np.uint8:
            return samples
        if samples.max() > self._largest:
            raise SlideError(
                f"the slide {self.path} has the value {samples.max()}, but --bits says at most {self._largest}; "
                "give the bits that the scanner used"
            )
        scaled: NDArray[np.uint8] = ((samples.astype(np.uint32) * 255 + self._largest // 2) // self._largest).astype(
            np.uint8
        )
        return scaled


class _SegmentCache:
    """The segments that were used last, in at most so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._segments: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._left = max_bytes
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int]) -> NDArray[np.uint8] | None:
        with self._lock:
            if key in self._segments:
                self._segments.move_to_end(key)
            return self._segments.get(key)

    def put(self, key: tuple[int, int], segment: NDArray[np.uint8]) -> None:
        with self._lock:
            if key in self._segments:  # another thread was faster
                return
            self._segments[key] = segment
            self._left -= segment.nbytes
            while self._left < 0 and len(self._segments) > 1:
                self._left += self._segments.popitem(last=False)[1].nbytes


def _slide_series(path: Path, file: tifffile.TiffFile) -> tuple[Any, int]:
    """Return the one image that is the slide, and its number; smaller ones beside it are labels and overviews."""
    if not file.series:
        raise SlideError(f"the slide {path} holds no image; get the file again, or remove it")
    areas = [series.keyframe.imagewidth * series.keyframe.imagelength for series in file.series]
    index = int(np.argmax(areas))
    others = [i for i, area in enumerate(areas) if i != index and area > areas[index] / 4]
    if others:
        raise SlideError(
            f"the slide {path} holds {len(others) + 1} images of similar size, so that it is not certain which one is "
            "the slide; save each one as a file of its own"
        )
    series = file.series[index]
    if series.axes not in _AXES:
        raise SlideError(
            f"the slide {path} must hold one RGB image, but holds the axes {series.axes} of the sizes "
            f"{tuple(series.shape)} (several planes, channels or no colour); export it as RGB"
        )
    return series, index


def _check_pixels(path: Path, page: Any, bits: int | None) -> None:
    """Refuse pixels whose meaning is not certain."""
    if page.samplesperpixel != 3 or page.photometric not in (_RGB, _YCBCR):
        raise SlideError(
            f"the slide {path} must be RGB, but has {page.samplesperpixel} samples per pixel "
            f"({page.photometric!s}); export it as RGB"
        )
    if page.photometric == _YCBCR and page.compression not in _JPEG:
        raise SlideError(f"the slide {path} holds YCbCr colours without JPEG, which is not decoded; export it as RGB")
    if page.dtype not in (np.uint8, np.uint16):
        raise SlideError(f"the slide {path} must hold 8 or 16 bits a sample, but holds {page.dtype}; export it as RGB")
    if page.dtype == np.uint16 and bits is None:
        raise SlideError(
            f"the slide {path} holds 16 bits a sample, of which a scanner may have used fewer; say how many with "
            "--bits (often 12), or export it with 8"
        )
    orientation = page.tags.get("Orientation")
    if orientation is not None and orientation.value != 1:
        raise SlideError(f"the slide {path} is stored rotated or mirrored ({orientation.value!s}); export it upright")
    height, width = _segment_size(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    needed = -(-page.imagelength // height) * -(-page.imagewidth // width) * planes
    if not needed == len(page.dataoffsets) == len(page.databytecounts):
        raise SlideError(
            f"the slide {path} must have {needed:,} pieces for its size, but has {len(page.dataoffsets):,}: it is "
            "damaged; get the file again, or remove it"
        )
    if height * width * page.samplesperpixel * page.dtype.itemsize > MAX_SEGMENT_BYTES:
        raise SlideError(
            f"the slide {path} is stored in pieces of {width} x {height} pixels, too large to read a region at a time; "
            "store it in tiles, for example with: vips tiffsave IN OUT.tif --tile --pyramid --bigtiff"
        )


def _segment_size(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(min(page.rowsperstrip, page.imagelength)), int(page.imagewidth)


def _tag_resolution(page: Any) -> tuple[float, float] | None:
    """Read TIFF's own tags: pixels per inch or centimetre."""
    unit = page.tags.get("ResolutionUnit")
    micrometres = _TIFF_UNITS.get(int(unit.value) if unit is not None else 2)
    stated = [page.tags.get(name) for name in ("XResolution", "YResolution")]
    if micrometres is None or None in stated:
        return None
    ratios = [tag.value[0] / tag.value[1] if tag.value[1] else 0.0 for tag in stated]
    return None if min(ratios) <= 0 else (micrometres / ratios[0], micrometres / ratios[1])


def _ome_resolution(file: tifffile.TiffFile, index: int) -> tuple[float, float] | None:
    """Read the physical size of a pixel of one image from the OME-XML."""
    root = ElementTree.fromstring(file.ome_metadata)
    images = [element for element in root if element.tag.endswith("}Image")]
    pixels = next(element for element in images[index] if element.tag.endswith("}Pixels"))
    sizes = []
    for axis in "XY":
        size = pixels.get(f"PhysicalSize{axis}")
        micrometres = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if size is None or micrometres is None:
            return None
        sizes.append(float(size) * micrometres)
    return sizes[0], sizes[1]
