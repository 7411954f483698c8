"""What changes photographs of skin: the colour of the light, constancy of colours, hair. Pixels as in ``steps``."""

from dataclasses import dataclass

import numpy as np
import skimage  # loads its parts on their first use
from numpy.typing import NDArray

from fedray.data.scanners.steps import Pixels


@dataclass(frozen=True)
class Illuminant:
    """Light of another colour: a factor on each channel (the diagonal model of von Kries 1902), each > 0."""

    red: float = 1.0
    green: float = 1.0
    blue: float = 1.0

    def __call__(self, image: Pixels) -> Pixels:
        """Scale the channels."""
        lit: Pixels = image * np.array([self.red, self.green, self.blue])
        return lit


@dataclass(frozen=True)
class ShadesOfGrey:
    """Constancy of colours by shades of grey (Finlayson and Trezzi 2004).

    The colour of the light is e, the Minkowski norm of each channel over the picture, and each channel is divided by
    sqrt(3) e / |e|: a picture that is grey on the whole stays as it is. A norm of 1 is grey-world.
    """

    norm: float = 6.0
    """>= 1; 6 is what the paper found best."""

    def __call__(self, image: Pixels) -> Pixels:
        """Take the light's colour out; a channel that is black everywhere stays so."""
        light = (np.abs(image) ** self.norm).mean(axis=(0, 1)) ** (1 / self.norm)
        length = np.linalg.norm(light)
        return image * np.where(light > 0, length / (np.sqrt(3) * np.where(light > 0, light, 1.0)), 1.0)


@dataclass(frozen=True)
class HairFree:
    """Hair taken out, after DullRazor (Lee et al. 1997), with one direction more and a smoother filling.

    Where a closing by short lines (of four directions, each channel for itself) makes a picture lighter, it is dark and
    thin. Such places that hang together over some length are hair; they and the pixels beside them are filled from
    around (biharmonic inpainting). Thin dark lines of a lesion look like hair, and go too. What covers much of a
    picture, as in tissue, is no hair, and stays.
    """

    line_share: float = 0.12
    """Length of the lines, in edges of the picture; hair is thinner, > 0. They have 5 pixels at least."""
    darker: float = 0.08
    """How much darker than what is beside it hair is in one channel, in (0, 1)."""
    length_share: float = 0.2
    """Least extent of a hair, in edges of the picture."""
    most_share: float = 0.4
    """Share of the picture above which nothing is taken for hair, in (0, 1]."""

    def __call__(self, image: Pixels) -> Pixels:
        """Fill hair from what is around it; a picture without any stays as it is."""
        mask = self.mask(image)
        if not mask.any():
            return image
        filled: Pixels = skimage.restoration.inpaint_biharmonic(image, mask, split_into_regions=True, channel_axis=-1)
        return filled

    def mask(self, image: Pixels) -> NDArray[np.bool_]:
        """Mark hair, bool [H, W]."""
        from scipy.ndimage import binary_dilation

        edge = min(image.shape[:2])
        lines = _lines(max(5, round(self.line_share * edge)))
        closed = np.max([_closed(image, line) for line in lines], axis=0)
        found = skimage.measure.label(((closed - image) > self.darker).any(axis=-1), connectivity=2)
        long = [
            region.label
            for region in skimage.measure.regionprops(found)
            if _extent(region.bbox) >= self.length_share * edge
        ]
        marked: NDArray[np.bool_] = binary_dilation(np.isin(found, long), np.ones((3, 3), bool))
        return marked if marked.mean() <= self.most_share else np.zeros_like(marked)


def _lines(length: int) -> list[NDArray[np.uint8]]:
    """Return lines in four directions, uint8 [length, length]; an even length becomes the next odd one."""
    length += 1 - length % 2
    across = np.zeros((length, length), np.uint8)
    across[length // 2] = 1
    falling = np.eye(length, dtype=np.uint8)
    return [across, across.T, falling, falling[::-1]]


def _closed(image: Pixels, line: NDArray[np.uint8]) -> Pixels:
    from skimage.morphology import closing

    return np.stack([closing(image[..., c], line) for c in range(3)], axis=-1)


def _extent(box: tuple[int, int, int, int]) -> float:
    top, left, bottom, right = box
    return float(np.hypot(bottom - top, right - left))
