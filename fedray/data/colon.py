"""The embedded data: one immunohistochemistry section of human colon, cut into tiles labelled gland or stroma."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import skimage  # loads its parts on their first use, so workers that find the store cached pay nothing
from numpy.typing import NDArray

from fedray.config import DataConfig
from fedray.data.scanners import SCANNERS, render
from fedray.data.store import Split, Tile, TileStore
from fedray.data.writing import write_store

LABEL_NAMES = ("gland", "stroma")
MAX_STRIDE = 16
TRAIN_COLUMNS = 320
"""Columns left of this one are training tissue, the others test tissue (the picture has 512)."""

BLANK_DENSITY = 0.15
"""Optical density, summed over R, G and B, below which smoothed pixels are glass, as inside a vessel."""

MAX_HOLE_PX = 400
"""Unstained spots in the epithelium up to this area are nuclei, in square pixels; larger ones are lumen."""


class Place(NamedTuple):
    """Where a tile lies in the picture, and what it is."""

    top: int
    left: int
    label: int
    group: str
    split: Split


DOMAINS = ("original", "pale-dab", "strong-blue-blurred", "dark-dab-blurred")
"""Scanners of which ``num_domains`` takes the first."""


def build_colon(config: DataConfig, path: Path) -> TileStore:
    """Build the store of the embedded section. Deterministic; needs no network.

    The picture (``skimage.data.immunohistochemistry``, 512 x 512 RGB) shows epithelium stained brown by DAB and nuclei
    stained blue. A pixel is gland where the smoothed DAB density exceeds Otsu's threshold, stroma in the one connected
    region outside the glands, and neither in a lumen or vessel. A tile has the label of most of its tissue; one that is
    mostly lumen is left out. The left 320 columns are training tissue, the others test tissue (the border moves left
    for tiles above 192 px). Each side is cut into horizontal bands, the groups; tiles overlap inside a band only, with
    a stride of half a tile, 16 px at most, so no pixel is shared between two groups. Scanner domains share the tiles of
    each split and label evenly. Counts:

    | tile_size | train gland | train stroma | test gland | test stroma |
    |-----------|-------------|--------------|------------|-------------|
    |        16 |        1542 |          638 |        589 |         717 |
    |        32 |         358 |          147 |        129 |         164 |
    |        64 |         236 |           95 |         77 |         102 |
    |       128 |         162 |           72 |         44 |          46 |
    |       256 |          13 |            4 |          6 |          11 |

    Args:
        config: ``tile_size`` and ``num_domains`` are read, and must be set.
        path: The store to make.
    """
    assert config.tile_size is not None and config.num_domains is not None, "open_store fills them in"
    picture = skimage.data.immunohistochemistry()
    places = find_places(picture, config.tile_size)
    return write_store(
        path,
        _tiles(picture, places, config.tile_size, config.num_domains),
        label_names=LABEL_NAMES,
        domain_names=DOMAINS[: config.num_domains],
        name=f"colon-{config.tile_size}" + (f"-{config.num_domains}-domains" if config.num_domains > 1 else ""),
        source="scikit-image immunohistochemistry: human colon, DAB and haematoxylin",
        group_kind="region",  # bands of one person's section: every client has tiles of that person anyway
        overwrite=True,
    )


def find_places(picture: NDArray[np.uint8], tile_size: int) -> list[Place]:
    """Cut the picture into labelled places, in raster order per side.

    Args:
        picture: uint8 [512, 512, 3], RGB.
        tile_size: Edge of a tile in pixels.
    """
    gland, stroma = tissue_masks(picture)
    height, width = gland.shape
    border = min(TRAIN_COLUMNS, width - tile_size)
    sides: list[tuple[Split, int, int]] = [("train", 0, border), ("test", border, width)]
    stride = min(MAX_STRIDE, tile_size // 2)
    num_bands = 4 if tile_size <= 64 else 2 if tile_size <= 128 else 1
    places = []
    for split, first_column, end_column in sides:
        for band in range(num_bands):
            first_row, end_row = band * height // num_bands, (band + 1) * height // num_bands
            for top in range(first_row, end_row - tile_size + 1, stride):
                for left in range(first_column, end_column - tile_size + 1, stride):
                    window = np.s_[top : top + tile_size, left : left + tile_size]
                    gland_share, stroma_share = gland[window].mean(), stroma[window].mean()
                    if gland_share + stroma_share >= 0.5:
                        label = int(stroma_share > gland_share)
                        places.append(Place(top, left, label, f"{split}-band-{band}", split))
    return places


def tissue_masks(picture: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark gland and stroma; a pixel in neither is lumen or vessel.

    Args:
        picture: uint8 [H, W, 3], RGB.

    Returns:
        Two masks, bool [H, W].
    """
    dab = skimage.filters.gaussian(
        skimage.color.rgb2hed(picture)[..., 2], sigma=4
    )  # smoothed over the nuclei, which DAB leaves blue
    stained = dab > skimage.filters.threshold_otsu(dab)
    regions = skimage.measure.label(~stained, connectivity=1)
    areas = np.bincount(regions.ravel())
    areas[0] = 0  # region 0 is what is stained
    gland: NDArray[np.bool_] = areas[regions] <= MAX_HOLE_PX
    connective = regions == np.argmax(areas)
    density = -np.log10((picture.astype(np.float64) + 1) / 256).sum(axis=-1)
    return gland, connective & (skimage.filters.gaussian(density, sigma=5) >= BLANK_DENSITY)


def _tiles(picture: NDArray[np.uint8], places: list[Place], tile_size: int, num_domains: int) -> Iterator[Tile]:
    """Yield the tiles; domains take turns within each split and label, so that every domain has all of them."""
    border = min(place.left for place in places if place.split == "test")
    scanners = [SCANNERS[name] for name in DOMAINS[:num_domains]]
    # Each side is rendered on its own: a blur over the border would carry test pixels into training tiles.
    views: list[dict[str, NDArray[Any]]] = [
        {"train": render(picture[:, :border], scanner), "test": render(picture[:, border:], scanner)}
        for scanner in scanners
    ]
    seen: dict[tuple[str, int], int] = {}
    for top, left, label, group, split in places:
        domain = seen.get((split, label), 0) % num_domains
        seen[split, label] = seen.get((split, label), 0) + 1
        column = left - (border if split == "test" else 0)
        image = views[domain][split][top : top + tile_size, column : column + tile_size]
        yield Tile(image, label, domain, group, split, f"row {top}, column {left}")
