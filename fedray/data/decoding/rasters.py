"""Everyday image files, through Pillow."""

import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from fedray.data.decoding.deep import jpeg2000_samples, png_samples
from fedray.data.decoding.errors import MeaningError
from fedray.data.decoding.formats import Format
from fedray.data.decoding.picture import Decoded, check_size, profile_name, too_large, upright
from fedray.data.decoding.samples import Asked, Origin, Samples, Scale, over_white, to_rgb

_PILLOW_NAMES = {"JPEG 2000": "JPEG2000", "Netpbm": "PPM", "WebP": "WEBP"}
# Pillow's limit is above ours, which is an error that says what to do. Once, as warnings' filters belong to no thread.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_DEEP = {"PNG": png_samples, "JPEG 2000": jpeg2000_samples}
_ORIENTATION_TAG = 0x0112


def decode_raster(path: Path, known: Format, asked: Asked) -> Decoded:
    """Decode a file of any format here but TIFF and DICOM; the orientation that a camera wrote into it is applied.

    Raises:
        MeaningError: It has several frames, is too large, or its values have no defined range.
        Exception: Whatever the libraries raise on a damaged file.
    """
    try:
        opened = Image.open(path, formats=[_PILLOW_NAMES.get(known.name, known.name)])
    except Image.DecompressionBombError:
        raise too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:,.0f}") from None
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
    if known.name in _DEEP and (samples := _DEEP[known.name](path)) is not None:
        return samples
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


def _netpbm_white(path: Path) -> int:
    with path.open("rb") as file:
        words = re.sub(rb"#[^\n]*", b"", file.read(4096)).split(maxsplit=4)
    return int(words[3])


def _quality(image: Image.Image) -> int | None:
    if not isinstance(image, JpegImageFile):
        return None
    return round(float(np.mean([np.mean(table) for table in image.quantization.values()])))
