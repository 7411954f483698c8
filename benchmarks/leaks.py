"""How many copies the import's comparison finds, and how many strangers it takes for copies.

``python -m benchmarks.leaks FOLDER`` takes every image below FOLDER, compares each with each, and each with changed
versions of itself; then it times the comparison on as many thumbnails as a large set has.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fedray.data.decoding import ENLARGED_DETAIL, Pixels, is_image
from fedray.data.decoding.decode import square
from fedray.data.decoding.detail import finest_detail
from fedray.data.importing.leaks import NEAR, best_correlation, near_duplicates, normalised, thumbnail

TILE = 64
Change = Callable[[Image.Image], Image.Image]


def _saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _enlarged(image: Image.Image, factor: float, by: Image.Resampling) -> Image.Image:
    small = image.resize((round(image.width / factor), round(image.height / factor)), Image.Resampling.LANCZOS)
    return small.resize(image.size, by)


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Change] = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned, JPEG of quality 75": lambda image: _saved(image.transpose(Image.Transpose.ROTATE_90), 75),
    "JPEG of quality 30": lambda image: _saved(image, 30),
    "JPEG of quality 10": lambda image: _saved(image, 10),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "15 % brighter": lambda image: image.point(lambda value: min(255, int(value * 1.15))),
    "cropped by 2 % a side": lambda image: _cropped(image, 0.02),
    "cropped by 5 % a side": lambda image: _cropped(image, 0.05),
}
ENLARGED: dict[str, Change] = {
    "as it is": lambda image: image,
    "JPEG of quality 30": lambda image: _saved(image, 30),
    "enlarged 1.5 times, bicubic": lambda image: _enlarged(image, 1.5, Image.Resampling.BICUBIC),
    "enlarged 2 times, bilinear": lambda image: _enlarged(image, 2, Image.Resampling.BILINEAR),
    "enlarged 2 times, bicubic": lambda image: _enlarged(image, 2, Image.Resampling.BICUBIC),
    "the same, JPEG of quality 75": lambda image: _saved(_enlarged(image, 2, Image.Resampling.BICUBIC), 75),
    "enlarged 2 times, nearest": lambda image: _enlarged(image, 2, Image.Resampling.NEAREST),
    "enlarged 4 times, bicubic": lambda image: _enlarged(image, 4, Image.Resampling.BICUBIC),
}


def thumbnails(images: list[Image.Image]) -> Pixels:
    """What the import compares of images."""
    return np.stack([thumbnail(np.asarray(square(image, TILE))) for image in images])


def measure_copies(images: list[Image.Image]) -> None:
    """Print the correlation of strangers, and the share of changed images that is found."""
    whole = thumbnails(images)
    rows = normalised(whole)
    first, second = np.triu_indices(len(rows), 1)
    strangers = np.sort(best_correlation(rows, rows, first, second))[::-1]
    print(f"{len(strangers):,} pairs of two images, in 8 positions")
    print(f"highest correlations: {', '.join(f'{value:.3f}' for value in strangers[:8])}")
    print(f"above {NEAR}: {(strangers > NEAR).sum()} pairs")
    same = np.arange(len(rows))
    for name, change in CHANGES.items():
        found = best_correlation(rows, normalised(thumbnails([change(image) for image in images])), same, same)
        print(f"{name:28} found {(found > NEAR).mean():6.1%}   lowest correlation {found.min():.3f}")


def measure_detail(images: list[Image.Image]) -> None:
    """Print the finest detail of images, as they are and enlarged."""
    for name, change in ENLARGED.items():
        values = [value for image in images if (value := finest_detail(change(image))) is not None]
        low, high = np.quantile(values, [0, 1])
        share = np.mean([value < ENLARGED_DETAIL for value in values])
        print(f"{name:28} detail {low:.3f} to {high:.3f}   called enlarged {share:6.1%}")


def measure_time(num_train: int, num_test: int) -> None:
    """Print the seconds of a comparison of smooth random thumbnails."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (num_train + num_test, 6, 6), dtype=np.uint8)
    smooth = np.stack([np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BICUBIC)) for one in noise])
    start = time.perf_counter()
    found = near_duplicates(smooth[:num_train], smooth[num_train:])
    seconds = time.perf_counter() - start
    print(f"{num_train:,} training and {num_test:,} test images: {seconds:.1f} s, {len(found)} taken for copies")


def main() -> None:
    """Measure on the images below the folder that is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    paths = sorted(path for path in parser.parse_args().folder.rglob("*") if path.is_file() and is_image(path))
    images = [Image.open(path).convert("RGB") for path in paths]
    measure_copies(images)
    measure_detail(images)
    measure_time(80_000, 20_000)


if __name__ == "__main__":
    main()
