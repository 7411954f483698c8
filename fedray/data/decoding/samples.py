"""What a pixel's number means: which value is black, which is white, and who says so."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedray.data.decoding.errors import MeaningError
from fedray.data.store import StoreError

Pixels = NDArray[np.uint8]


class Origin(StrEnum):
    """Who says which values are black and white, from the weakest to the strongest."""

    ASSUMED = "assumed"
    """Nobody: the whole range of the stored numbers is taken, and must be plausible over the whole set."""
    TAGGED = "tagged"
    """A tag that programs also use for the extremes of one image: it must be the same in the whole set."""
    WINDOWED = "windowed"
    """A window for display, as radiology has it: what lies outside is black or white."""
    DECLARED = "declared"
    """The file's format."""
    ASKED = "asked"
    """The user."""


@dataclass(frozen=True)
class Scale:
    """The values that become black (0) and white (255)."""

    low: float
    high: float
    origin: Origin

    def __str__(self) -> str:
        """For messages, such as ``0 to 4095``."""
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Asked:
    """What the user says about pixels whose files do not. Of a wrong value, the constructor raises StoreError."""

    bits: int | None = None
    """Bits that unsigned samples use, 1 to 32; white is 2 ** bits - 1."""
    value_range: tuple[float, float] | None = None
    """The values that become black and white."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.bits is not None and not 1 <= self.bits <= 32:
            raise StoreError(f"bits must be 1 to 32, but got {self.bits}")
        if self.value_range is not None and not -np.inf < self.value_range[0] < self.value_range[1] < np.inf:
            raise StoreError(
                "value_range must be the value that becomes black and a higher one that becomes white, but got "
                f"{self.value_range[0]:g} and {self.value_range[1]:g}"
            )
        if self.bits is not None and self.value_range is not None:
            raise StoreError("bits and value_range both say which value is white; give one of them")


@dataclass(frozen=True)
class Samples:
    """Pixels as a file stores them."""

    values: NDArray[Any]
    """Numbers of any type [H, W, C]: 1 channel is grey, 3 are RGB; one more is alpha (see ``alpha``)."""
    bits: int
    """Bits that a sample is stored in."""
    declared: Scale | None = None
    """What the file says about its range."""
    inverted: bool = False
    """Whether the lowest value is white."""
    alpha: bool = False
    """Whether the last channel is opacity, and not yet multiplied into the colours."""


@dataclass(frozen=True)
class ValueRange:
    """The range that one file's samples were taken to have, and the values found in it."""

    bits: int
    scale: Scale
    lowest: float
    highest: float


def to_rgb(samples: Samples, asked: Asked) -> tuple[Image.Image, ValueRange]:
    """Convert samples to RGB with 8 bits a channel; transparency is laid over white, the colour of an empty slide.

    Raises:
        MeaningError: The range is not defined, or the values do not lie in it.
    """
    values = samples.values[..., :-1] if samples.alpha else samples.values
    if values.dtype.kind not in "buif":
        raise MeaningError(f"pixels of the type {values.dtype} are no brightness; convert the image to 8 or 16 bits")
    lowest, highest = values.min().item(), values.max().item()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise MeaningError("it has pixels that are not finite (NaN or infinite); replace them by numbers")
    scale = _scale(samples, asked, lowest, highest)
    if scale.origin is not Origin.WINDOWED and (scale.origin is not Origin.ASKED or asked.value_range is None):
        _check_within(scale, lowest, highest, samples.bits)
    pixels = _eight_bits(values, scale, samples.inverted)
    if samples.alpha:
        # Opacity has the whole range, whatever the colours use of it.
        opacity = _eight_bits(samples.values[..., -1:], whole_range(samples.bits), inverted=False)
        pixels = np.concatenate([pixels, opacity], axis=2)
    return _composed(pixels, samples.alpha), ValueRange(samples.bits, scale, lowest, highest)


def palette_samples(palette: NDArray[Any], codes: NDArray[Any]) -> Samples:
    """Look codes [H, W] up in a palette [N, 3] of 8 or 16 bits; of 16 the upper 8 are taken.

    A program stretches 8 bits to 16 by 256 or by 257, or leaves them as they are, and the upper 8 are right for both.
    """
    palette = palette >> 8 if palette.max() > 255 else palette
    return Samples(palette.astype(np.uint8)[codes.astype(np.int64)], 8, Scale(0, 255, Origin.DECLARED))


def whole_range(bits: int) -> Scale:
    """Return the range of unsigned numbers of ``bits`` bits, assumed."""
    return Scale(0, 2**bits - 1, Origin.ASSUMED)


def _scale(samples: Samples, asked: Asked, lowest: float, highest: float) -> Scale:
    """Choose the range: the user's word where the file can hold it, then the file's, then the type's."""
    kind, bits = samples.values.dtype.kind, samples.bits
    if samples.declared is not None and samples.declared.origin is Origin.DECLARED:
        return samples.declared
    if asked.value_range is not None and (kind == "f" or asked.value_range[1] < 2**bits):
        return Scale(*asked.value_range, Origin.ASKED)
    if asked.bits is not None and kind in "bu" and asked.bits <= bits:
        return Scale(0, 2**asked.bits - 1, Origin.ASKED)
    if samples.declared is not None:
        return samples.declared
    if kind in "bu" and bits <= 16:
        return whole_range(bits)
    what = {"f": "floating-point", "i": "signed"}.get(kind, f"{bits}-bit")
    raise MeaningError(
        f"{what} pixels have no defined range (these are {lowest:g} to {highest:g}); say which values are black and "
        "white with --value-range LOW HIGH"
    )


def _check_within(scale: Scale, lowest: float, highest: float, bits: int) -> None:
    if scale.low <= lowest and highest <= scale.high:
        return
    found = f"but are in {lowest:g} to {highest:g} of {bits} bits"
    if scale.origin is Origin.DECLARED:
        raise MeaningError(f"pixels must be in {scale}, as the file says, {found}; correct it, or convert it to 8 bits")
    said = "as asked for" if scale.origin is Origin.ASKED else "as its tags say"
    raise MeaningError(
        f"pixels must be in {scale}, {said}, {found}; give the range that the images really have, with --bits or "
        "--value-range"
    )


def _eight_bits(values: NDArray[Any], scale: Scale, inverted: bool) -> Pixels:
    """Scale to 0 to 255 and round; what lies outside is black or white."""
    if values.dtype == np.uint8 and (scale.low, scale.high) == (0, 255):
        return np.asarray(255 - values if inverted else values, np.uint8)
    # Row by row: an index, like a floating-point number, takes eight bytes.
    if values.dtype.kind in "bu" and values.dtype.itemsize <= 2:
        table = _linear(np.arange(2 ** (8 * values.dtype.itemsize)), scale, inverted)
        return np.stack([table[row.astype(np.int64)] for row in values])
    return np.stack([_linear(row, scale, inverted) for row in values])


def values_in(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the values that occur in an array of 8 or 16 bits, sorted."""
    seen = np.zeros(2 ** (8 * values.dtype.itemsize), bool)
    for row in values:
        seen[row] = True
    return np.flatnonzero(seen)


def _linear(values: NDArray[Any], scale: Scale, inverted: bool) -> Pixels:
    share = np.clip((values.astype(np.float64) - scale.low) / (scale.high - scale.low), 0, 1)
    return np.asarray(np.rint(255 * (1 - share if inverted else share)), np.uint8)


def _composed(pixels: Pixels, alpha: bool) -> Image.Image:
    mode = {(1, False): "L", (3, False): "RGB", (2, True): "LA", (4, True): "RGBA"}[pixels.shape[2], alpha]
    height, width = pixels.shape[:2]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes())
    return over_white(image) if alpha else image.convert("RGB")


def over_white(image: Image.Image) -> Image.Image:
    """Lay a transparent image over white."""
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")
