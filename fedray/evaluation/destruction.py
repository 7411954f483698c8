"""Real tiles destroyed on purpose, each in a way that a person sees: what an extractor is tested with.

Every destruction keeps number, shape and order of labels, so that what it makes can stand in a generator's place.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedray.data.scanners import Scanner, Stains, render
from fedray.evaluation.reference import shares

Tiles = NDArray[np.uint8]
"""uint8 [n, H, W, C] in [0, 255]."""
Labels = NDArray[np.int64]
"""int64 [n]."""

Apply = Callable[[Tiles, Labels, np.random.Generator], Tiles]
Order = Callable[[Labels, np.random.Generator], NDArray[np.int64]]

NOISE_LEVEL = 10.0
"""Standard deviation of the noise, in grey levels of 255."""
JPEG_QUALITY = 30
BLUER_STAIN = Scanner("tissue", (Stains(haematoxylin=1.25, eosin=0.75, dab=0.75),))
"""More haematoxylin, less eosin and DAB: as another laboratory's stain bath."""
REDDER_STAIN = Scanner("tissue", (Stains(haematoxylin=0.75, eosin=1.25, dab=1.25),))
"""Less haematoxylin, more eosin and DAB."""


@dataclass(frozen=True)
class Destruction:
    """One way to destroy real tiles.

    Attributes:
        apply: Pure function of tiles, labels and a source of randomness; returns tiles for the same labels.
        unseen: What a score misses that does not see this one, to follow "blind to".
        why_not: Says of a tile's shape (H, W, C) and the labels why it does not apply to them; None where it does.
        order: For one that only puts tiles in the place of others: the tile, by index, that stands in each place.
        num_choices: Draws, more than one with an order alone, over which its score is the mean.
        opposite: The same change the other way round, for one that has a direction: its score is the mean of both. One
            direction may be that in which the reference lies, and then it brings the tiles nearer.
    """

    apply: Apply
    unseen: str
    why_not: Callable[[tuple[int, int, int], Labels], str | None] = lambda shape, labels: None
    order: Order | None = None
    num_choices: int = 1
    opposite: Apply | None = None

    @property
    def ways(self) -> tuple[Apply, ...]:
        """The change, and its opposite if it has one."""
        return (self.apply,) if self.opposite is None else (self.apply, self.opposite)


def blur(tiles: Tiles, labels: Labels, rng: np.random.Generator, *, sigma_px: float) -> Tiles:
    """Blur each tile with a Gaussian; edges are mirrored."""
    from scipy.ndimage import gaussian_filter  # here: half a second, and most processes evaluate nothing

    return _each(tiles, lambda tile: gaussian_filter(tile.astype(np.float64), (sigma_px, sigma_px, 0)))


def compress(tiles: Tiles, labels: Labels, rng: np.random.Generator) -> Tiles:
    """Write and read each tile as JPEG of quality 30; channels that are not grey or RGB each as a grey picture."""
    if tiles.shape[-1] == 3:
        return _each(tiles, _through_jpeg)
    return _each(tiles, lambda tile: np.stack([_through_jpeg(channel) for channel in np.moveaxis(tile, -1, 0)], -1))


def add_noise(tiles: Tiles, labels: Labels, rng: np.random.Generator) -> Tiles:
    """Add Gaussian noise of standard deviation 10, independent for every pixel and channel."""
    return _each(tiles, lambda tile: tile + rng.normal(0.0, NOISE_LEVEL, tile.shape))


def shuffle_patches(tiles: Tiles, labels: Labels, rng: np.random.Generator, *, parts: int) -> Tiles:
    """Cut each tile into parts x parts equal patches, and put them back in random order.

    Where an edge does not divide, the grid of whole patches lies in the middle and the pixels around it stay.
    """
    height, width = (edge // parts for edge in tiles.shape[1:3])
    top, left = ((edge - parts * patch) // 2 for edge, patch in zip(tiles.shape[1:3], (height, width), strict=True))
    inside = np.s_[top : top + parts * height, left : left + parts * width]

    def shuffled(tile: Tiles) -> Tiles:
        grid = tile[inside].reshape(parts, height, parts, width, -1).swapaxes(1, 2)
        patches = rng.permutation(grid.reshape(parts * parts, height, width, -1))
        result = tile.copy()
        rows = patches.reshape(parts, parts, height, width, -1).swapaxes(1, 2)
        result[inside] = rows.reshape(parts * height, parts * width, -1)
        return result

    return _each(tiles, shuffled)


def randomise_phase(tiles: Tiles, labels: Labels, rng: np.random.Generator) -> Tiles:
    """Keep each tile's amplitude spectrum and draw its phases anew (random phase noise, Galerne et al. 2011).

    All channels get the same shift of phase, so that colours stay together, and the mean stays. What leaves [0, 255]
    is clipped, which changes the amplitudes a little.
    """

    def textured(tile: Tiles) -> NDArray[np.float64]:
        noise = np.fft.fft2(rng.normal(size=tile.shape[:2]))  # of a real picture, so the product is one again
        shift = noise / np.abs(noise)
        shift[0, 0] = 1.0
        return np.fft.ifft2(np.fft.fft2(tile, axes=(0, 1)) * shift[..., np.newaxis], axes=(0, 1)).real

    return _each(tiles, textured)


def repeat_few(labels: Labels, rng: np.random.Generator, *, num_kept: int) -> NDArray[np.int64]:
    """Choose a few tiles, of each label in proportion and one at least, and repeat them in the place of all."""
    present, counts = np.unique(labels, return_counts=True)
    chosen = np.empty(len(labels), np.int64)
    for label, kept in zip(present, shares(counts, num_kept), strict=True):
        places = np.flatnonzero(labels == label)
        chosen[places] = np.resize(rng.choice(places, max(1, int(kept)), replace=False), len(places))
    return chosen


def permute_labels(labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give each label tiles of other labels: they change places, and no more than must keep a tile of their own label.

    A permutation at random would leave half of two labels' tiles where they belong.
    """
    places = np.lexsort((rng.random(len(labels)), labels))
    chosen = np.empty(len(labels), np.int64)
    chosen[places] = np.roll(places, np.unique(labels, return_counts=True)[1].max())
    return chosen


def shift_stain(tiles: Tiles, labels: Labels, rng: np.random.Generator, *, stain: Scanner) -> Tiles:
    """Stain each RGB tile as another laboratory does."""
    return _each(tiles, lambda tile: render(tile, stain))


def _too_small(shape: tuple[int, int, int], labels: Labels, *, parts: int) -> str | None:
    return f"tiles of {shape[0]} x {shape[1]} px have no {parts} x {parts} patches" if min(shape[:2]) < parts else None


def _too_few(shape: tuple[int, int, int], labels: Labels, *, num_kept: int) -> str | None:
    return f"{len(labels)} tiles are fewer than two for each that is kept" if len(labels) < 2 * num_kept else None


def _one_label(shape: tuple[int, int, int], labels: Labels) -> str | None:
    return "all tiles have one label" if len(np.unique(labels)) < 2 else None


def _not_rgb(shape: tuple[int, int, int], labels: Labels) -> str | None:
    return f"tiles of {shape[2]} channel(s) have no stain" if shape[2] != 3 else None


def _rearranged(
    order: Order, unseen: str, why_not: Callable[[tuple[int, int, int], Labels], str | None], num_choices: int = 1
) -> Destruction:
    return Destruction(lambda tiles, labels, rng: tiles[order(labels, rng)], unseen, why_not, order, num_choices)


def _repeated(num_kept: int) -> Destruction:
    """Repeat few tiles; several choices of them, as which they are says more than that they are few."""
    why_not = partial(_too_few, num_kept=num_kept)
    return _rearranged(partial(repeat_few, num_kept=num_kept), f"collapse to {num_kept} tiles", why_not, num_choices=8)


DESTRUCTIONS: dict[str, Destruction] = {
    "blur 1 px": Destruction(partial(blur, sigma_px=1.0), "a blur of 1 px"),
    "blur 2 px": Destruction(partial(blur, sigma_px=2.0), "a blur of 2 px"),
    "JPEG 30": Destruction(compress, "blocks of strong JPEG compression"),
    "noise": Destruction(add_noise, "noise"),
    "patches 1/2": Destruction(
        partial(shuffle_patches, parts=2), "shuffled quarters of a tile", partial(_too_small, parts=2)
    ),
    "patches 1/4": Destruction(partial(shuffle_patches, parts=4), "16 shuffled patches", partial(_too_small, parts=4)),
    "patches 1/8": Destruction(partial(shuffle_patches, parts=8), "64 shuffled patches", partial(_too_small, parts=8)),
    "random phase": Destruction(randomise_phase, "texture without structure"),
    "32 repeated": _repeated(32),
    "8 repeated": _repeated(8),
    "labels permuted": _rearranged(permute_labels, "permuted labels", _one_label),
    "stain shift": Destruction(
        partial(shift_stain, stain=BLUER_STAIN),
        "another stain",
        _not_rgb,
        opposite=partial(shift_stain, stain=REDDER_STAIN),
    ),
}
"""By the name under which tables show them."""

NEARER_FIRST: tuple[tuple[str, ...], ...] = (
    ("blur 1 px", "blur 2 px"),
    ("patches 1/2", "patches 1/4", "patches 1/8"),
    ("32 repeated", "8 repeated"),
)
"""Each destroys more than the one before it, so it must not score better."""

PERMUTED = "labels permuted"
"""All tiles together stay the same set: this concerns the scores of single labels."""


def why_skipped(name: str, tile_shape: tuple[int, int, int], labels: Labels) -> str | None:
    """Say why a destruction of :data:`DESTRUCTIONS` does not apply to tiles of a shape (H, W, C); None if it does."""
    return DESTRUCTIONS[name].why_not(tile_shape, labels)


def destroy(name: str, tiles: Tiles, labels: Labels, rng: np.random.Generator) -> list[Tiles]:
    """Destroy real tiles once, or, where the destruction has a direction, both ways.

    Args:
        name: One of :data:`DESTRUCTIONS` that :func:`why_skipped` has nothing against.
        tiles: uint8 [n, H, W, C] in [0, 255]; left as they are.
        labels: int64 [n].
        rng: What is random in it is drawn from here.

    Returns:
        As many tiles each time, for the same labels.
    """
    destruction = DESTRUCTIONS[name]
    assert destruction.why_not((tiles.shape[1], tiles.shape[2], tiles.shape[3]), labels) is None
    return [apply(tiles, labels, rng) for apply in destruction.ways]


def _each(tiles: Tiles, change: Callable[[Tiles], NDArray[np.generic]]) -> Tiles:
    """Change tile by tile: hundreds of them as float64 at once would not fit beside the workers."""
    result = np.empty_like(tiles)
    for i, tile in enumerate(tiles):
        result[i] = np.clip(np.rint(change(tile)), 0, 255)
    return result


def _through_jpeg(picture: Tiles) -> Tiles:
    """picture: uint8 [H, W] or [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(buffer))
