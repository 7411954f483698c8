"""One image file becomes a tile, and many do on all cores."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fedray.data.decoding.detail import finest_detail
from fedray.data.decoding.dicom import decode_dicom
from fedray.data.decoding.errors import DecodeError, MeaningError
from fedray.data.decoding.formats import (
    FORMATS,
    SLIDE_SUFFIXES,
    UNREAD_SLIDE_REMEDY,
    UNREAD_SLIDE_SUFFIXES,
    Format,
    format_of,
)
from fedray.data.decoding.picture import Decoded
from fedray.data.decoding.rasters import decode_raster
from fedray.data.decoding.samples import Asked, Origin, Pixels, Samples, Scale, ValueRange, to_rgb
from fedray.data.decoding.tiff import decode_tiff
from fedray.data.parallel import in_order, num_cores

DIGEST_BYTES = 16
_NOT_ASKED = Asked()


@dataclass(frozen=True)
class DecodedTile:
    """A tile, and what is known of the image that it was made of; without the image, so that many fit in memory."""

    pixels: Pixels
    """uint8 [size, size, 3], RGB in [0, 255]."""
    format: str
    """Name of the file's format, see :data:`fedray.data.decoding.FORMATS`; 'array' of :func:`tile_of_array`."""
    width: int
    height: int
    digest: bytes
    """Hash of the whole image as RGB: equal for equal pixels, whatever the file's format."""
    values: ValueRange
    colored: bool
    """Whether any pixel of the tile is not grey."""
    detail: float | None
    """Detail at the finest scale of the image, see :func:`fedray.data.decoding.detail.finest_detail`."""
    quality: int | None
    """Of a JPEG file: the mean of its quantisation tables; larger is coarser."""
    profile: str
    """Name of the colour profile that the file embeds, where it is not sRGB."""
    notes: tuple[str, ...]


def decode_tile(path: Path, size: int, asked: Asked = _NOT_ASKED) -> DecodedTile:
    """Decode an image file into a tile.

    The orientation that a camera wrote into the file is applied; transparency is laid over white, the colour of an
    empty slide; more than 8 bits become 8. Then the largest central square is cut out and resized, antialiased.

    Args:
        path: The file.
        size: Edge of the tile in pixels.
        asked: Which values are black and white where the file does not say.

    Raises:
        DecodeError: The file is no image, is damaged, is no single picture, or what its pixels mean is not certain.
    """
    try:
        known = _readable_format(path)
        return _tile(known.name, _decode(path, known, asked), size)
    except MeaningError as error:
        raise DecodeError(f"cannot make a tile of {path}: {error}") from None
    except MemoryError:
        raise DecodeError(f"cannot decode the image {path}: it needs more memory than there is") from None
    except Exception as error:
        # Decoders raise whatever a damaged file leads them to: struct.error, KeyError, zlib.error, RuntimeError ...
        raise DecodeError(f"cannot decode the image {path}: {_reason(error, path)}") from None


def tile_of_array(picture: Pixels, size: int) -> DecodedTile:
    """Make a tile of a picture that is decoded already, uint8 [H, W] (grey) or [H, W, 3] (RGB)."""
    channels = picture if picture.ndim == 3 else picture[..., np.newaxis]
    image, values = to_rgb(Samples(channels, 8, Scale(0, 255, Origin.DECLARED)), _NOT_ASKED)
    return _tile("array", Decoded(image, values), size)


def _tile(format_name: str, decoded: Decoded, size: int) -> DecodedTile:
    image = decoded.image
    pixels = np.asarray(square(image, size))
    return DecodedTile(
        pixels,
        format_name,
        image.width,
        image.height,
        _digest(image),
        decoded.values,
        bool((pixels != pixels[..., :1]).any()),
        finest_detail(image),
        decoded.quality,
        decoded.profile,
        decoded.notes,
    )


def _digest(image: Image.Image) -> bytes:
    shape = f"{image.width}x{image.height}".encode()  # the same bytes in another shape are another image
    return hashlib.blake2b(image.tobytes(), digest_size=DIGEST_BYTES, key=shape).digest()


def _readable_format(path: Path) -> Format:
    """Return the format of a file that can be decoded."""
    if path.suffix.lower() in UNREAD_SLIDE_SUFFIXES:
        raise MeaningError(f"{path.suffix.lower()} is a slide scanner's format that is not read; {UNREAD_SLIDE_REMEDY}")
    if path.suffix.lower() in SLIDE_SUFFIXES:
        raise MeaningError(f"{path.suffix.lower()} is a slide scanner's format; cut it with jobs/cut_tiles.py")
    known = format_of(path)
    if known is None:
        what = "empty" if path.stat().st_size == 0 else "no image of a known format"
        raise ValueError(f"the file is {what} ({', '.join(one.name for one in FORMATS)})")
    if known not in FORMATS:
        raise MeaningError(f"{known.name} is not read; save it as PNG or TIFF")
    return known


def _decode(path: Path, known: Format, asked: Asked) -> Decoded:
    match known.name:
        case "TIFF":
            return decode_tiff(path, asked)
        case "DICOM":
            return decode_dicom(path, asked)
        case _:
            return decode_raster(path, known, asked)


def _reason(error: Exception, path: Path) -> str:
    """One line: what the library says, with its kind where that alone says little."""
    text = " ".join(str(error).split()).replace(repr(str(path)), "the file").replace(str(path), "the file")[:300]
    plain = isinstance(error, OSError | ValueError | SyntaxError) and " " in text
    return text if plain else f"it is damaged ({type(error).__name__}{': ' if text else ''}{text})"


def square(image: Image.Image, size: int) -> Image.Image:
    """Cut out the largest central square and resize it, antialiased, to ``size`` pixels."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge))


def decode_all(paths: Sequence[Path], size: int, asked: Asked = _NOT_ASKED) -> Iterator[DecodedTile | DecodeError]:
    """Decode files on all cores, in their order; a file that cannot be decoded yields its error.

    Threads, because the libraries decode and resize without the interpreter's lock: on 2 cores they were as fast as
    processes. A few tiles a core are decoded ahead of the consumer, so memory stays bounded.
    """
    num_threads = num_cores()

    def decode(path: Path) -> DecodedTile | DecodeError:
        return _decode_or_error(path, size, asked)

    with (
        ThreadPoolExecutor(num_threads, thread_name_prefix="decode") as executor,
        closing(in_order(executor, decode, paths, 8 * num_threads)) as tiles,
    ):
        yield from tiles


def _decode_or_error(path: Path, size: int, asked: Asked) -> DecodedTile | DecodeError:
    try:
        return decode_tile(path, size, asked)
    except DecodeError as error:
        return error
