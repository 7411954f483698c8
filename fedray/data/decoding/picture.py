"""An image as RGB, and what is the same for all formats: its size, its orientation, its colour profile."""

import io
from dataclasses import dataclass, field

from PIL import Image, ImageCms

from fedray.data.decoding.errors import MeaningError
from fedray.data.decoding.samples import ValueRange

MAX_PIXELS = 64_000_000
"""Of one image: the largest cameras stay below, slides are above. It also bounds the memory of one decoder."""

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """An image as RGB with 8 bits a channel, whole, and what its file says beside."""

    image: Image.Image
    values: ValueRange
    quality: int | None = None
    """Of a JPEG file: the mean of its quantisation tables (1: nearly lossless; larger is coarser)."""
    profile: str = ""
    """Name of the embedded colour profile, where it is not sRGB; colours are taken as they are."""
    notes: tuple[str, ...] = field(default=())
    """What the user should know about the file, one phrase each, equal for all files that are counted together."""


def check_size(width: int, height: int) -> None:
    """Refuse an image that is too large for one tile, before its pixels are decoded.

    Raises:
        MeaningError: It has more pixels than :data:`MAX_PIXELS`, or none.
    """
    if width < 1 or height < 1:
        raise MeaningError(f"it has no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise too_large(f"{width} x {height} = {width * height / 1e6:,.0f}")


def too_large(megapixels: str) -> MeaningError:
    """Return the error for an image of so many megapixels."""
    return MeaningError(
        f"it is {megapixels} megapixels, a slide rather than one tile (at most {MAX_PIXELS / 1e6:.0f}); cut it into "
        "tiles with jobs/cut_tiles.py, or reduce a photograph before"
    )


def profile_name(profile: bytes | None) -> str:
    """Return the name of a colour profile, or an empty text for none and for sRGB."""
    if not profile:
        return ""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = " ".join((ImageCms.getProfileDescription(opened) or "unnamed").split())
    except (OSError, ImageCms.PyCMSError):
        return "unreadable"
    return "" if "srgb" in name.lower() else name


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an orientation as EXIF and TIFF number them, 1 to 8."""
    turn = _ORIENTATIONS.get(orientation)
    return image if turn is None else image.transpose(turn)
