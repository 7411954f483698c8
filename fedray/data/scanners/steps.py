"""What any scanner does to a picture: stain, blur, contrast, resolution. A step is a value, and the same every time.

Pixels are float64 [H, W, 3], RGB, 0 is black and 1 white; between steps they may leave that range.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import skimage  # loads its parts on their first use, so workers that find a store cached pay nothing
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float64]

DARKEST = 8 / 255
"""A channel of 0 has unbounded density: its change would be a coloured dot."""


class Step(Protocol):
    """One thing that a scanner, or whoever prepares its pictures, does."""

    def __call__(self, image: Pixels) -> Pixels:
        """Return the picture as it is afterwards; the one that is given stays as it is."""
        ...


@dataclass(frozen=True)
class Stains:
    """Another stain bath: factors on the optical densities of the dyes (Ruifrok and Johnston 2001), each >= 0.

    A picture is taken apart into the densities of haematoxylin, eosin and DAB; what they change by is added to the
    picture's density, so that colours outside their span stay.
    """

    haematoxylin: float = 1.0
    eosin: float = 1.0
    dab: float = 1.0

    def __call__(self, image: Pixels) -> Pixels:
        """Scale the dyes."""
        visible = np.maximum(image, DARKEST)
        factors = np.array([self.haematoxylin, self.eosin, self.dab])
        change = skimage.color.rgb2hed(visible) * (factors - 1)
        stained: Pixels = visible * np.exp(np.log(1e-6) * (change @ skimage.color.rgb_from_hed))
        return stained


@dataclass(frozen=True)
class Blur:
    """Another focus: a Gaussian; beyond its ends the picture goes on as its last pixels."""

    sigma_px: float
    """Standard deviation in pixels, > 0."""

    def __call__(self, image: Pixels) -> Pixels:
        """Blur each channel."""
        blurred: Pixels = skimage.filters.gaussian(image, sigma=self.sigma_px, channel_axis=-1)
        return blurred


@dataclass(frozen=True)
class Contrast:
    """Another response: differences from a fixed grey grow or shrink, the same in every picture."""

    gain: float
    """> 0; below 1 is flatter."""
    pivot: float = 0.5
    """The grey that stays, in [0, 1]."""

    def __call__(self, image: Pixels) -> Pixels:
        """Stretch around the pivot."""
        return (image - self.pivot) * self.gain + self.pivot


@dataclass(frozen=True)
class Resolution:
    """A coarser sensor, shown at the same size: pixels are means over squares, enlarged bilinearly."""

    factor: float
    """Edge of a coarse pixel in pixels, >= 1."""

    def __call__(self, image: Pixels) -> Pixels:
        """Shrink and enlarge."""
        height, width = image.shape[:2]
        coarse = (max(1, round(width / self.factor)), max(1, round(height / self.factor)))
        shrunk = (_resized(image[..., c], coarse, Image.Resampling.BOX) for c in range(3))
        grown = [_resized(channel, (width, height), Image.Resampling.BILINEAR) for channel in shrunk]
        return np.stack(grown, axis=-1).astype(np.float64)


def _resized(channel: NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> NDArray[np.float32]:
    """Resize [H, W] to (width, height), in 32-bit floating point."""
    resized: NDArray[np.float32] = np.asarray(Image.fromarray(channel.astype(np.float32)).resize(size, how))
    return resized
