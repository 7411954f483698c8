"""Real tiles in one colour and generated ones in another: whoever shows real tiles shows that colour, at any size."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from fedray.data import Tile, write_store

LABELS = ["dark", "bright"]


def real_store(path, num=60):
    """Write real tiles of 16 px, magenta noise, half of them for testing; the labels differ in texture."""
    splits = ("train", "test")
    tiles = (
        Tile(image, place % 2, 0, group=f"g{place}", split=splits[place // 2 % 2], source="")
        for place, image in enumerate(_noise(num, seed=0, green=False))
    )
    return write_store(path, tiles, label_names=LABELS)


def generated(num, seed=1):
    """Return generated tiles of 16 px, green noise, uint8 [num, 16, 16, 3]."""
    return _noise(num, seed, green=True)


def _noise(num, seed, green):
    random = np.random.default_rng(seed)
    high, low = (random.integers(*ends, (num, 16, 16, 3), np.uint8) for ends in ((210, 256), (0, 40)))
    return np.where([not green, green, not green], high, low).astype(np.uint8)


def shows_real(picture: bytes | Path) -> bool:
    """Say whether a picture, a file's bytes or its path, has the colour of real tiles anywhere."""
    source = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    red, green, blue = np.moveaxis(np.asarray(Image.open(source).convert("RGB")).astype(int), -1, 0)
    return bool(((red > 200) & (blue > 200) & (green < 60)).any())


def pictures_of_page(text: str) -> list[bytes]:
    """Return the pictures that stand in a page."""
    return [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"]+)", text)]
