"""One image file becomes a tile, and many do on all cores."""

import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fedray.data.store import StoreError

Pixels = NDArray[np.uint8]


class DecodeError(StoreError):
    """An image file cannot be decoded. The message names the file and the reason."""


def decode_tile(path: Path, size: int) -> Pixels:
    """Decode an image file into a tile.

    The orientation that a camera wrote into the file is applied; transparency is laid over white, the colour of an
    empty slide; 16 bits become 8. Then the largest central square is cut out and resized, antialiased. Of several
    frames the first is taken.

    Args:
        path: The file.
        size: Edge of the tile in pixels.

    Returns:
        uint8 [size, size, 3], RGB in [0, 255].

    Raises:
        DecodeError: The file is no image, is truncated, or has values without a defined range.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return np.asarray(square(to_rgb(ImageOps.exif_transpose(image)), size))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()).replace(repr(str(path)), "the file")
        raise DecodeError(f"cannot decode the image {path}: {reason}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, 8 bits a channel.

    Raises:
        ValueError: The values have no defined range: floating point, or integers above 16 bits.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range; convert the image to 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"pixels must be in 0 to 65535, but are in {values.min()} to {values.max()}")
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def square(image: Image.Image, size: int) -> Image.Image:
    """Cut out the largest central square and resize it, antialiased, to ``size`` pixels."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge))


def decode_all(paths: Sequence[Path], size: int) -> Iterator[Pixels | DecodeError]:
    """Decode files on all cores, in their order; a file that cannot be decoded yields its error.

    Threads, because Pillow decodes and resizes without the interpreter's lock: on 2 cores they were as fast as
    processes. A few tiles a core are decoded ahead of the consumer, so memory stays bounded.
    """
    num_threads = os.cpu_count() or 1
    ahead: deque[Future[Pixels | DecodeError]] = deque()
    executor = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
    try:
        for path in paths:
            ahead.append(executor.submit(_decode_or_error, path, size))
            if len(ahead) >= 8 * num_threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _decode_or_error(path: Path, size: int) -> Pixels | DecodeError:
    try:
        return decode_tile(path, size)
    except DecodeError as error:
        return error
