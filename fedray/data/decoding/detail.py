"""Whether an image has detail at its own resolution, or was enlarged from a smaller one."""

import numpy as np
from PIL import Image

ENLARGED_DETAIL = 0.43
"""Finest detail below which an image was enlarged, or is out of focus; measured by benchmarks/leaks.py."""

_MEASURED_EDGE = 128
_SMALLEST_EDGE = 32


def finest_detail(image: Image.Image) -> float | None:
    """Measure the detail at the finest scale of an image, in its centre of 128 px at most.

    It is what is lost by halving the resolution, over what is lost by quartering it (root mean squares of grey levels).
    An image that was enlarged to twice its size or more, with interpolation, loses little by halving.

    Returns:
        0 for none, 0.5 to 0.8 for most photographs; None where there is nothing to measure (a flat or tiny image).
    """
    edge = min(_MEASURED_EDGE, *image.size) // 4 * 4
    if edge < _SMALLEST_EDGE:
        return None
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    center = image.crop((left, top, left + edge, top + edge)).convert("L")
    halved, quartered = (_lost_by_reducing(center, factor) for factor in (2, 4))
    return halved / quartered if quartered >= 1 else None


def _lost_by_reducing(image: Image.Image, factor: int) -> float:
    again = image.reduce(factor).resize(image.size, Image.Resampling.BICUBIC)
    return float(np.sqrt(np.mean(np.square(np.asarray(image, np.float32) - np.asarray(again, np.float32)))))
