"""Good files of every format, and ways to damage them; the same for the same seed."""

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from pydicom.uid import JPEG2000Lossless, RLELossless

from tests.support.dicoms import compress, make_dicom
from tests.support.pictures import chunk

Damage = Callable[[bytes, np.random.Generator], bytes]


def picture(random: np.random.Generator) -> Image.Image:
    """A picture of 40 x 36 px that no other call gives."""
    blobs = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return blobs.resize((40, 36), Image.Resampling.BICUBIC)


def _saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def _deep(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.uint16) * 257


def _png(image: Image.Image, number: int) -> bytes:
    if number % 3:
        return _saved(image, "PNG")
    data = imagecodecs.png_encode(_deep(image))
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk(b"sBIT", b"\x10\x10\x10") + data[at:]


def _tiff(image: Image.Image, number: int) -> bytes:
    file = io.BytesIO()
    kinds = [
        {},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"compression": "jpeg"},
    ]
    values = _deep(image) if number % 8 == 1 else np.asarray(image)
    tifffile.imwrite(file, values, photometric="rgb", metadata=None, **kinds[number % 4])
    return file.getvalue()


def _jpeg2000(image: Image.Image, number: int) -> bytes:
    return imagecodecs.jpeg2k_encode(_deep(image), level=0) if number % 2 else _saved(image, "JPEG2000")


def _dicom(image: Image.Image, number: int) -> bytes:
    dataset = make_dicom(np.asarray(image))
    if number % 3 == 1:
        dataset.compress(RLELossless)
    elif number % 3 == 2:
        stream = imagecodecs.jpeg2k_encode(np.asarray(image), level=0, codecformat="j2k", mct=False)
        compress(dataset, JPEG2000Lossless, stream)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


GOOD: dict[str, Callable[[Image.Image, int], bytes]] = {
    "png": _png,
    "jpg": lambda image, number: _saved(image, "JPEG", progressive=bool(number % 2)),
    "tif": _tiff,
    "bmp": lambda image, number: _saved(image, "BMP"),
    "webp": lambda image, number: _saved(image, "WEBP", lossless=bool(number % 2)),
    "gif": lambda image, number: _saved(image, "GIF"),
    "jp2": _jpeg2000,
    "avif": lambda image, number: _saved(image, "AVIF"),
    "ppm": lambda image, number: _saved(image, "PPM"),
    "dcm": _dicom,
}
"""Ten formats: ``GOOD[suffix](image, number)`` is a file's content; the number picks a kind of it."""


def _flip(data: bytes, random: np.random.Generator, count: int, below: int) -> bytes:
    damaged = bytearray(data)
    for at in random.integers(0, min(below, len(data)), count):
        damaged[at] ^= int(random.integers(1, 256))
    return bytes(damaged)


def _overwritten(data: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(4, len(data)))
    length = int(random.integers(1, 200))
    return data[:at] + random.bytes(length) + data[at + length :]


def _huge_numbers(data: bytes, random: np.random.Generator) -> bytes:
    """Sizes and offsets in headers become absurd."""
    damaged = bytearray(data)
    for at in random.integers(4, min(400, len(data) - 4), 3):
        damaged[at : at + 4] = random.choice([b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"]).tobytes()[
            :4
        ]
    return bytes(damaged)


HOPELESS: dict[str, Damage] = {
    "empty": lambda data, random: b"",
    "first bytes alone": lambda data, random: data[: int(random.integers(1, 40))],
    "text": lambda data, random: b"<html>not found</html>" * 10 + data[220:],
    "cut": lambda data, random: data[: len(data) // 3],
}
"""What no decoder may make a picture of."""

DAMAGES: dict[str, Damage] = {
    **HOPELESS,
    "cut late": lambda data, random: data[: int(random.integers(len(data) // 2, len(data)))],
    "a flipped byte": lambda data, random: _flip(data, random, 1, len(data)),
    "flipped bytes": lambda data, random: _flip(data, random, 30, len(data)),
    "flipped bytes in the header": lambda data, random: _flip(data, random, 6, 300),
    "overwritten": _overwritten,
    "huge numbers": _huge_numbers,
}


def damaged(number: int, seed: int = 0) -> tuple[str, str, Path, bytes]:
    """Return the suffix, the kind of damage, a file name and the content of a damaged file."""
    random = np.random.default_rng((seed, number))
    suffix = list(GOOD)[number % len(GOOD)]
    kind = list(DAMAGES)[number // len(GOOD) % len(DAMAGES)]
    data = GOOD[suffix](picture(random), number // (len(GOOD) * len(DAMAGES)))
    return suffix, kind, Path(f"{number:04} {kind}.{suffix}"), DAMAGES[kind](data, random)
