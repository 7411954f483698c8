"""Augmentation of tiles on their device: of training tiles alone, or of real and generated tiles alike."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Augment = Callable[[Tensor, torch.Generator], Tensor]


def turn_and_flip(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Turn and flip each tile [N, C, S, S] by one of the eight symmetries of the square. Differentiable.

    Tissue has no up and no left: in histology the label stays.
    """
    symmetry = torch.randint(8, (len(tiles),), generator=random, device=random.device).to(tiles.device)
    turned = tiles
    for quarter_turns in range(1, 4):
        mask = (symmetry % 4 == quarter_turns).view(-1, 1, 1, 1)
        turned = torch.where(mask, torch.rot90(tiles, quarter_turns, dims=(2, 3)), turned)
    return torch.where((symmetry >= 4).view(-1, 1, 1, 1), turned.flip(3), turned)


def colour_translation_cutout(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Change colour, shift by up to 1/8 and cut out a square of 1/2 of each tile [N, C, S, S] (Zhao et al. 2020)."""
    return _cut_out(translation(_colour(tiles, random), random), random)


def _draw(num: int, random: torch.Generator, tiles: Tensor) -> Tensor:
    drawn = torch.rand(num, generator=random, device=random.device)
    return drawn.to(tiles.device).view(-1, 1, 1, 1)


def _colour(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5, in this order."""
    brightness, saturation, contrast = (_draw(len(tiles), random, tiles) for _ in range(3))
    tiles = tiles + (brightness - 0.5)
    grey = tiles.mean(1, keepdim=True)
    tiles = (tiles - grey) * (2 * saturation) + grey
    mean = tiles.mean((1, 2, 3), keepdim=True)
    return (tiles - mean) * (contrast + 0.5) + mean


def translation(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Shift each tile [N, C, S, S] by whole pixels, up to an eighth of the edge; what comes in is 0, mid grey."""
    num, _, size, _ = tiles.shape
    reach = round(size / 8)
    shift = torch.randint(-reach, reach + 1, (2, num, 1), generator=random, device=random.device).to(tiles.device)
    place = torch.arange(size, device=tiles.device).view(1, -1)
    rows, columns = ((place + shift[axis]).clamp(-1, size) + 1 for axis in range(2))  # in the padded tile
    padded = functional.pad(tiles, (1, 1, 1, 1))
    which = torch.arange(num, device=tiles.device)
    return padded.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Set a square of half the edge, centred anywhere, to 0."""
    num, _, size, _ = tiles.shape
    half = size // 2
    centre = torch.randint(0, size + 1, (2, num, 1), generator=random, device=random.device).to(tiles.device)
    place = torch.arange(size, device=tiles.device).view(1, -1)
    rows, columns = (
        (place >= centre[axis] - half // 2) & (place < centre[axis] - half // 2 + half) for axis in range(2)
    )
    hole = (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
    return tiles.masked_fill(hole, 0.0)


DIFF_AUGMENTS: dict[str, Augment] = {
    "none": lambda tiles, random: tiles,
    "histology": turn_and_flip,
    "translation": translation,
    "colour-translation-cutout": colour_translation_cutout,
}
"""By ``gan.diff_augment``."""
