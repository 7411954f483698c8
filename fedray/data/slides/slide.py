"""What a slide is to those who cut it: levels of pixels, and how large a pixel is in micrometres."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fedray.data.store import StoreError

Pixels = NDArray[np.uint8]

PLAUSIBLE_MPP = (0.05, 10.0)
"""Micrometres per pixel that a slide scanner can have: a picture of 72 dots an inch says 353, and is no scan."""

MAX_EDGE_MM = 300.0
"""Longest edge of a slide; the largest glass for whole organs has about 200 mm."""


class SlideError(StoreError):
    """A slide, or a part of it, cannot be read as it is. The message names the file, the reason and the remedy."""


class Level(NamedTuple):
    """One resolution of a slide."""

    width: int
    height: int
    mpp: tuple[float, float]
    """Micrometres per pixel, horizontally and vertically."""


class Region(NamedTuple):
    """A rectangle of pixels of one level."""

    left: int
    top: int
    width: int
    height: int


class Slide(ABC):
    """An open slide. Its methods may be called by several threads at once.

    Attributes:
        path: The file.
        levels: Its resolutions, the finest first.
        scanned: The part of level 0 that holds pixels at all, all of it with most scanners.
    """

    path: Path
    levels: tuple[Level, ...]
    scanned: Region

    @abstractmethod
    def read(self, level: int, region: Region) -> Pixels:
        """Read pixels of a level; those that were not scanned have the colour of glass.

        Args:
            level: Index into ``levels``.
            region: In pixels of that level, inside it.

        Returns:
            uint8 [region.height, region.width, 3], RGB.

        Raises:
            SlideError: A part of it cannot be decoded.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        """Return the slide."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def scanned_at(self, level: int) -> Region:
        """Return what was scanned in pixels of a level, whole pixels inside it."""
        left, top, width, height = self.scanned
        across = self.levels[0].width / self.levels[level].width
        down = self.levels[0].height / self.levels[level].height
        first, start = int(np.ceil(left / across)), int(np.ceil(top / down))
        end, bottom = int((left + width) / across), int((top + height) / down)
        return Region(first, start, end - first, bottom - start)


def make_levels(path: Path, sizes: list[tuple[int, int]], mpp: tuple[float, float]) -> tuple[Level, ...]:
    """Make the levels of a slide.

    Args:
        path: The slide.
        sizes: Width and height in pixels, the finest level first.
        mpp: Micrometres per pixel of the finest level.

    Raises:
        SlideError: The slide would be larger than any glass.
    """
    width, height = sizes[0]
    edge_mm = max(width * mpp[0], height * mpp[1]) / 1e3
    if edge_mm > MAX_EDGE_MM or min(width, height) < 1:
        raise SlideError(
            f"the slide {path} has {width:,} x {height:,} pixels of {mpp[0]:.4g} um, which is {edge_mm:,.0f} mm, but "
            f"glass has at most {MAX_EDGE_MM:g} mm; give the right --mpp, or get the file again if it is damaged"
        )
    return tuple(Level(w, h, (mpp[0] * width / w, mpp[1] * height / h)) for w, h in sizes)


def resolution(
    path: Path, stated: tuple[float, float] | None, given: float | None, hint: str = ""
) -> tuple[float, float]:
    """Return the micrometres per pixel of a slide's finest level.

    Args:
        path: The slide.
        stated: What the file says.
        given: What the user says of slides whose files say nothing, or nothing plausible.
        hint: What else the file says about it.

    Raises:
        SlideError: The file states no resolution that a slide can have, and the user gave none.
    """
    low, high = PLAUSIBLE_MPP
    if stated is not None and all(low <= value <= high for value in stated):
        return stated
    if given is not None:
        return given, given
    says = "no resolution" if stated is None else f"a resolution of {stated[0]:.4g} x {stated[1]:.4g} um per pixel"
    rule = "" if stated is None else f", which no slide scanner has ({low} to {high:g})"
    raise SlideError(
        f"the slide {path} states {says}{rule}{hint}; find out how it was scanned and give its micrometres per pixel "
        "with --mpp (a 40x scan often has 0.25, a 20x scan 0.5)"
    )
