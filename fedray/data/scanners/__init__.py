"""Scanners by name: deterministic changes of pictures, for data that comes from one scanner.

They are no model of a device: each moves pixels along a way in which devices and laboratories differ. Lengths in pixels
are those of the tile. ``steps`` has what any picture takes, ``skin`` what photographs of skin do, ``dealing`` says
which tiles of a store which scanner sees.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedray.data.scanners.skin import HairFree, Illuminant, ShadesOfGrey
from fedray.data.scanners.steps import Blur, Contrast, Resolution, Stains, Step

__all__ = ["SCANNERS", "Blur", "Contrast", "HairFree", "Illuminant", "Resolution", "Scanner", "ShadesOfGrey", "Stains",
           "Step", "render"]  # fmt: skip


class Scanner(NamedTuple):
    """How a scanner renders a picture."""

    made_for: Literal["any", "tissue", "skin"]
    """Pictures that it makes sense for; nothing holds it to them."""
    steps: tuple[Step, ...]
    """One after another; none leaves pictures as they are."""


SCANNERS: dict[str, Scanner] = {
    "original": Scanner("any", ()),
    "blurred": Scanner("any", (Blur(1.0),)),
    "low-contrast": Scanner("any", (Contrast(0.7),)),
    "high-contrast": Scanner("any", (Contrast(1.3),)),
    "half-resolution": Scanner("any", (Resolution(2),)),
    "pale-dab": Scanner("tissue", (Stains(1.15, 1.0, 0.65),)),
    "strong-blue-blurred": Scanner("tissue", (Stains(1.7, 1.0, 1.0), Blur(0.8))),
    "dark-dab-blurred": Scanner("tissue", (Stains(0.8, 1.0, 1.35), Blur(0.5))),
    "pale-eosin": Scanner("tissue", (Stains(1.0, 0.6, 1.0),)),
    "strong-eosin": Scanner("tissue", (Stains(0.85, 1.5, 1.0),)),
    "strong-haematoxylin": Scanner("tissue", (Stains(1.5, 0.9, 1.0),)),
    "faded-coarse": Scanner("tissue", (Stains(0.6, 0.6, 0.6), Resolution(2), Contrast(0.9, pivot=0.8))),
    "dark-contrast": Scanner("tissue", (Stains(1.3, 1.3, 1.3), Contrast(1.15, pivot=0.8))),
    "shades-of-grey": Scanner("skin", (ShadesOfGrey(),)),
    "warm-light": Scanner("skin", (Illuminant(1.1, 1.0, 0.8),)),
    "cold-light": Scanner("skin", (Illuminant(0.85, 1.0, 1.15),)),
    "hair-free": Scanner("skin", (HairFree(),)),
    "hair-free-grey": Scanner("skin", (HairFree(), ShadesOfGrey())),
    "phone": Scanner("skin", (Resolution(1.5), Illuminant(1.05, 1.0, 0.88), Contrast(1.2))),
}
"""By name."""


def render(picture: NDArray[np.uint8], scanner: Scanner) -> NDArray[np.uint8]:
    """Render a picture as a scanner does: uint8 [H, W, 3] to the same, clipped and rounded once, at the end."""
    if not scanner.steps:
        return picture
    image = picture / 255
    for step in scanner.steps:
        image = step(image)
    rendered: NDArray[np.uint8] = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return rendered
