"""Everyday image files, through Pillow; PNG and JPEG 2000 of more than 8 bits through imagecodecs."""

import io
import re
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from fedray.data.decoding.errors import MeaningError
from fedray.data.decoding.formats import Format
from fedray.data.decoding.samples import Asked, Origin, Samples, Scale, ValueRange, over_white, to_rgb

MAX_PIXELS = 64_000_000
"""Of one image: the largest cameras stay below, slides are above. It also bounds the memory of one decoder."""

_PILLOW_NAMES = {"JPEG 2000": "JPEG2000", "Netpbm": "PPM", "WebP": "WEBP"}
# Pillow's limit is above ours, which is an error that says what to do. Once, as warnings' filters belong to no thread.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_ORIENTATION_TAG = 0x0112
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
        raise _too_large(f"{width} x {height} = {width * height / 1e6:,.0f}")


def _too_large(found: str) -> MeaningError:
    return MeaningError(
        f"it is {found} megapixels, a slide rather than one tile (at most {MAX_PIXELS / 1e6:.0f}); cut it into tiles "
        "with jobs/cut_tiles.py, or reduce a photograph before"
    )


def decode_raster(path: Path, known: Format, asked: Asked) -> Decoded:
    """Decode a file of any format here but TIFF and DICOM; the orientation that a camera wrote into it is applied.

    Raises:
        MeaningError: It has several frames, is too large, or its values have no defined range.
        Exception: Whatever the libraries raise on a damaged file.
    """
    try:
        opened = Image.open(path, formats=[_PILLOW_NAMES.get(known.name, known.name)])
    except Image.DecompressionBombError:
        raise _too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:,.0f}") from None
    with opened as image:
        check_size(*image.size)
        # A phone's JPEG may carry previews behind the photograph; the first is the photograph by its standard.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames > 1:
            raise MeaningError(f"it is an animation or a stack of {frames} frames; save the frame that is meant alone")
        rgb, values = to_rgb(_samples(path, known, image), asked)
        profile = profile_name(image.info.get("icc_profile"))
        return Decoded(upright(rgb, image.getexif().get(_ORIENTATION_TAG, 1)), values, _quality(image), profile)


def _samples(path: Path, known: Format, image: Image.Image) -> Samples:
    """Read the pixels of an open image: of more than 8 bits as they are stored, of others as Pillow converts them."""
    if known.name == "PNG":
        return _png_samples(path, image)
    if known.name == "JPEG 2000" and (bits := _jpeg2000_bits(path)) != 8:
        return _deep_samples(imagecodecs.jpeg2k_decode(path.read_bytes()), bits, Scale(0, 2**bits - 1, Origin.DECLARED))
    if image.mode.startswith("I"):
        values = np.asarray(image)[..., np.newaxis]
        # Pillow stretches what a Netpbm file declares to 16 bits.
        declared = Scale(0, 65535, Origin.DECLARED) if _netpbm_white(path) != 65535 else None
        return Samples(values.astype(np.uint16), 16, declared)
    return samples_of_8_bits(image)


def samples_of_8_bits(image: Image.Image) -> Samples:
    """Take an image of Pillow's that has 8 bits a channel or fewer, of any mode.

    Raises:
        MeaningError: Its colours have no certain meaning in RGB.
    """
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        raise MeaningError("it has CMYK colours that only its colour profile defines; convert it to RGB")
    if image.has_transparency_data:
        image = over_white(image)
    elif image.mode not in ("L", "RGB"):
        # Of one bit and of palettes, whatever values there are is meant.
        image = image.convert("L" if image.mode == "1" else "RGB")
        values = np.asarray(image)
        return Samples(values.reshape(*values.shape[:2], -1), 8, Scale(0, 255, Origin.DECLARED))
    values = np.asarray(image)
    return Samples(values.reshape(*values.shape[:2], -1), 8)


def _png_samples(path: Path, image: Image.Image) -> Samples:
    """Read a PNG file: with more than 8 bits, or significant bits named, its samples are taken as they are stored."""
    with path.open("rb") as file:
        header = file.read(33)
        significant = _png_significant_bits(file)
    depth, colour_type = header[24], header[25]
    if depth != 16 and (significant is None or colour_type == 3 or depth != 8):
        return samples_of_8_bits(image)
    if "transparency" in image.info:
        raise MeaningError("one of its 16-bit colours is marked as transparent (tRNS); save it without, or with alpha")
    # Pillow keeps 8 of 16 bits of a colour, the upper ones.
    values = imagecodecs.png_decode(path.read_bytes())
    values = values.reshape(*values.shape[:2], -1)
    alpha = values.shape[2] in (2, 4)
    colours = values[..., :-1] if alpha else values
    declared = None if significant is None else _significant_scale(colours, significant, depth)
    return Samples(values, depth, declared, alpha=alpha)


def _png_significant_bits(file: IO[bytes]) -> int | None:
    """Return the bits that the chunk sBIT names, the most of all colours; it stands before the pixels."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"sBIT":
            # Alpha stands last and may have other bits.
            bits = file.read(min(length, 4))
            return max(bits[:3] if len(bits) >= 3 else bits[:1])
        file.seek(length + 4, 1)
    return None


def _significant_scale(values: NDArray[Any], bits: int, depth: int) -> Scale | None:
    """Tell samples that were stretched to the whole depth, as the PNG standard asks, from those stored as they came.

    Raises:
        MeaningError: They are neither.
    """
    if not 1 <= bits < depth:
        return None
    white = 2**bits - 1
    original = values.astype(np.int64) >> (depth - bits)
    stretched = np.rint(original * ((2**depth - 1) / white))
    padded = original << (depth - bits)
    if (values == padded).all():
        return Scale(0, white << (depth - bits), Origin.DECLARED)
    repeated = padded | (padded >> bits)
    if (np.abs(values - stretched) <= 1).all() or (values == repeated).all():
        return Scale(0, 2**depth - 1, Origin.DECLARED)
    if values.max() <= white:
        return Scale(0, white, Origin.DECLARED)
    raise MeaningError(
        f"it says that {bits} of its {depth} bits are significant (sBIT), but its values up to {values.max()} use "
        "more; save it without that chunk"
    )


def _jpeg2000_bits(path: Path) -> int:
    """Return the bits a sample from the code stream's header (ISO/IEC 15444-1, marker SIZ).

    Raises:
        MeaningError: The components differ in bits, or are signed.
    """
    with path.open("rb") as file:
        head = file.read(2**16)
    start = head.index(b"\xff\x4f\xff\x51")
    (components,) = struct.unpack_from(">H", head, start + 40)
    depths = {head[start + 42 + 3 * i] for i in range(components)}
    if len(depths) != 1 or (depth := depths.pop()) & 0x80:
        raise MeaningError("its channels are signed or differ in bits; convert it to 8 or 16 bits")
    return depth + 1


def _deep_samples(values: NDArray[Any], bits: int, declared: Scale) -> Samples:
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[2] not in (1, 3):
        raise MeaningError(f"it has {values.shape[2]} channels of {bits} bits; save it as grey or RGB")
    # All bits of a type are what a program writes that does not know how many are used.
    return Samples(values, bits, None if bits in (8, 16) else declared)


def _netpbm_white(path: Path) -> int:
    with path.open("rb") as file:
        words = re.sub(rb"#[^\n]*", b"", file.read(4096)).split(maxsplit=4)
    return int(words[3])


def _quality(image: Image.Image) -> int | None:
    if not isinstance(image, JpegImageFile):
        return None
    return round(float(np.mean([np.mean(table) for table in image.quantization.values()])))


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
