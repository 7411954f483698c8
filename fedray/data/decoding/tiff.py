"""TIFF files, through tifffile: one picture of certain colours, or what the file is instead."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, SAMPLEFORMAT, TiffFile, TiffPage

from fedray.data.decoding.errors import MeaningError
from fedray.data.decoding.picture import Decoded, check_size, profile_name, upright
from fedray.data.decoding.rasters import samples_of_8_bits
from fedray.data.decoding.samples import Asked, Origin, Samples, Scale, palette_samples, to_rgb

_SCANNERS = ("svs", "ndpi", "scn", "bif", "philips", "qpi", "avs", "vectra")
"""Whose descriptions tifffile recognises."""
_MAX_NAMED_PAGES = 4
# Fractions, each as two numbers.
_REC_601 = (299, 1000, 587, 1000, 114, 1000)
_FULL_RANGE = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters is raised, with the file's name


def decode_tiff(path: Path, asked: Asked) -> Decoded:
    """Decode a TIFF file of one page.

    Raises:
        MeaningError: It is a slide or a stack, or its samples have no certain meaning in RGB.
        Exception: Whatever tifffile and the codecs raise on a damaged file.
    """
    with TiffFile(path) as file:
        page = _only_page(file)
        samples = _samples(page)
        rgb, values = to_rgb(samples, asked)
        tags = page.tags
        profile = profile_name(tags.valueof("InterColorProfile"))
        return Decoded(upright(rgb, tags.valueof("Orientation", 1)), values, profile=profile)


def _only_page(file: TiffFile) -> TiffPage:
    """Return the page of a file that holds one picture."""
    sizes = [(page.imagewidth, page.imagelength) for page in file.pages[:_MAX_NAMED_PAGES]]
    scanner = next((name for name in _SCANNERS if getattr(file, f"is_{name}", False)), None)
    first = file.pages.first
    below = len(first.subifds or ())
    if len(file.pages) > 1 or below:
        named = ", ".join(f"{width} x {height}" for width, height in sizes)
        more = ", ..." if len(file.pages) > len(sizes) else ""
        what = f"{len(file.pages)} page{'s' if len(file.pages) > 1 else ''} ({named}{more} pixels)"
        what += f" and {below} reduced ones" if below else ""
        what += f" and the description of a slide scanner ({scanner})" if scanner else ""
        raise MeaningError(
            f"it has {what}, so it is a slide or a stack and not one tile; cut a slide into tiles with "
            "jobs/cut_tiles.py, or save the page that is meant alone"
        )
    check_size(first.imagewidth, first.imagelength)
    # ImageJ writes many planes behind one page.
    planes = max(sum(series.size for series in file.series) // max(first.size, 1), first.imagedepth)
    if planes > 1:
        raise MeaningError(f"it is a stack of {planes} planes; save the plane that is meant alone")
    _check_complete(file, first)
    return first


def _check_complete(file: TiffFile, page: TiffPage) -> None:
    """Refuse a page whose data ends before its strips or tiles do.

    tifffile corrects the lengths to what is there, and fills what is missing with zeros, without an error.
    """
    places = _numbers(page, "StripOffsets") or _numbers(page, "TileOffsets")
    lengths = _numbers(page, "StripByteCounts") or _numbers(page, "TileByteCounts")
    pairs = zip(places, lengths, strict=True)
    missing = sum(not length or place + length > file.filehandle.size for place, length in pairs)
    if missing or not places:
        raise MeaningError(f"it is truncated: {missing} of its {len(places)} strips or tiles are not there in full")


def _numbers(page: TiffPage, tag: str) -> tuple[int, ...]:
    value = page.tags.valueof(tag)
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _samples(page: TiffPage) -> Samples:
    if page.sampleformat == SAMPLEFORMAT.COMPLEXINT or page.sampleformat == SAMPLEFORMAT.COMPLEXIEEEFP:
        raise MeaningError("its pixels are complex numbers; convert it to 8 or 16 bits")
    if not isinstance(page.bitspersample, int):
        raise MeaningError(f"its channels have different bits ({page.bitspersample}); convert it to 8 or 16 bits each")
    values = page.asarray(maxworkers=1)
    values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
    values = values.reshape(page.imagelength, page.imagewidth, -1)
    colours, alpha = _split_extra(page, values)
    match page.photometric:
        case PHOTOMETRIC.MINISBLACK | PHOTOMETRIC.MINISWHITE if colours == 1:
            inverted = page.photometric == PHOTOMETRIC.MINISWHITE
            if inverted and alpha:
                raise MeaningError("its lowest value is white and it has an alpha channel; convert it to RGB")
            return Samples(values, page.bitspersample, _declared(page, values), inverted, alpha)
        case PHOTOMETRIC.RGB if colours == 3:
            return Samples(values, page.bitspersample, _declared(page, values), alpha=alpha)
        case PHOTOMETRIC.PALETTE if colours == 1 and not alpha:
            return _from_palette(page, values[..., 0])
        case PHOTOMETRIC.YCBCR if colours == 3 and not alpha:
            return _from_ycbcr(page, values)
        case PHOTOMETRIC.SEPARATED if colours == 4 and not alpha and values.dtype == np.uint8:
            image = _as_image("CMYK", values)
            image.info["icc_profile"] = page.tags.valueof("InterColorProfile")
            return samples_of_8_bits(image)
    raise MeaningError(
        f"it has {values.shape[2]} channels of the kind {page.photometric.name}, which is not converted; save it as "
        "grey or RGB"
    )


def _split_extra(page: TiffPage, values: NDArray[Any]) -> tuple[int, bool]:
    """Return the number of colour channels, and whether one of alpha follows them."""
    extra = page.extrasamples
    colours = values.shape[2] - len(extra)
    if not extra:
        return colours, False
    if len(extra) == 1 and extra[0] == EXTRASAMPLE.UNASSALPHA:
        return colours, True
    last = values[..., -1]
    # Opaque alpha and padding alike change nothing.
    if len(extra) == 1 and values.dtype.kind == "u" and last.min() == 2**page.bitspersample - 1:
        return colours, True
    kinds = ", ".join(kind.name.lower() for kind in extra)
    raise MeaningError(
        f"it has {values.shape[2]} channels and declares {colours} of them as colour; what the others are ({kinds}) is "
        "not certain: save the colours as grey or RGB, transparent places as unassociated alpha"
    )


def _declared(page: TiffPage, values: NDArray[Any]) -> Scale | None:
    """Return the range that the page's tags name; 12 bits stored as 12 declare themselves."""
    bits = page.bitspersample
    if values.dtype.kind in "bu" and bits not in (8, 16, 32, 64):
        return Scale(0, 2**bits - 1, Origin.DECLARED)
    high = _one(page.tags.valueof("SMaxSampleValue", page.tags.valueof("MaxSampleValue")))
    low = _one(page.tags.valueof("SMinSampleValue", page.tags.valueof("MinSampleValue")))
    if high is None:
        return None
    if values.dtype.kind in "bu":
        # The tag may hold the largest value that occurs: the bits that it needs are what is used.
        white = 2 ** max(int(high), 1).bit_length() - 1
        return Scale(0, white, Origin.TAGGED) if white < 2**bits - 1 else None
    return Scale(low, high, Origin.TAGGED) if low is not None and low < high else None


def _one(value: Any) -> float | None:
    """The largest of a tag's values, one a channel."""
    return None if value is None else float(np.max(value))


def _from_palette(page: TiffPage, codes: NDArray[Any]) -> Samples:
    if page.colormap is None or codes.dtype.kind not in "bu" or codes.max() >= page.colormap.shape[1]:
        raise MeaningError("its pixels have no colour in its palette; convert it to RGB")
    return palette_samples(page.colormap.T, codes)


def _from_ycbcr(page: TiffPage, values: NDArray[Any]) -> Samples:
    if page.compression in (COMPRESSION.JPEG, COMPRESSION.OJPEG, COMPRESSION.APERIO_JP2000_YCBC):
        return Samples(values, page.bitspersample)  # converted with the decompression
    coefficients = page.tags.valueof("YCbCrCoefficients")
    reference = page.tags.valueof("ReferenceBlackWhite")
    plain = coefficients in (None, _REC_601) and reference in (None, _FULL_RANGE)
    if values.dtype != np.uint8 or page.subsampling not in (None, (1, 1)) or not plain:
        raise MeaningError("its colours are YCbCr with coefficients or subsampling of their own; convert it to RGB")
    return samples_of_8_bits(_as_image("YCbCr", values))


def _as_image(mode: str, values: NDArray[Any]) -> Image.Image:
    height, width = values.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(values).tobytes())
