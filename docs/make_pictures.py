"""Draw the pictures of the docs from the code they describe: python docs/make_pictures.py."""

import io
from pathlib import Path

import numpy as np
import skimage
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from PIL import Image

from fedray.config import DataConfig, PartitionConfig
from fedray.data import draw_partition, open_store, partition_store
from fedray.data.colon import LABEL_NAMES, TRAIN_COLUMNS, find_places, tissue_masks
from fedray.data.scanners import SCANNERS, render

DOCS = Path(__file__).parent
TILE_SIZE = 32
COLORS = ("tab:blue", "tab:orange")  # of gland and stroma, as in draw_partition
SCHEMES = (
    PartitionConfig(scheme="iid"),
    PartitionConfig(scheme="majority-label", majority_share=0.8),
    PartitionConfig(scheme="dirichlet", alpha=0.3),
)


def draw_colon_labels() -> Figure:
    """Draw the section as it is, as pixels are labelled, and as tiles are labelled, with the border in each."""
    picture = skimage.data.immunohistochemistry()
    figure = Figure(figsize=(12, 4.7), layout="constrained")
    section, pixels, tiles = figure.subplots(1, 3, sharey=True)
    section.set_title("the section, 512 x 512 px")
    pixels.set_title("pixels: gland, stroma, or neither")
    tiles.set_title(f"centres of the {TILE_SIZE} px tiles; two in full")
    for axes in (section, pixels, tiles):
        axes.imshow(picture, alpha=1.0 if axes is section else 0.55)
        axes.axvline(TRAIN_COLUMNS - 0.5, color="black", linewidth=2)
        axes.set_xticks([TRAIN_COLUMNS / 2, (TRAIN_COLUMNS + 512) / 2], ["train", "test"])
        axes.tick_params(bottom=False, left=False, labelleft=False)
    for mask, color in zip(tissue_masks(picture), COLORS, strict=True):
        pixels.contourf(mask, levels=[0.5, 1.5], colors=[color], alpha=0.45)
    places = np.array([(place.top, place.left, place.label) for place in find_places(picture, TILE_SIZE)])
    for label, color in enumerate(COLORS):
        top, left, _ = places[places[:, 2] == label].T
        tiles.plot(left + TILE_SIZE / 2, top + TILE_SIZE / 2, ".", color=color, markersize=4)
        example = len(top) // 3
        corner = (left[example] - 0.5, top[example] - 0.5)
        tiles.add_patch(Rectangle(corner, TILE_SIZE, TILE_SIZE, fill=False, color=color, linewidth=2.5))
    for band in range(1, 4):
        tiles.axhline(band * 128 - 0.5, color="black", linewidth=0.8, linestyle=":")
    handles = [Patch(color=color, label=name) for name, color in zip(LABEL_NAMES, COLORS, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def draw_partitions() -> Image.Image:
    """Stack the pictures that draw_partition makes of three schemes with 6 clients."""
    store = open_store(DataConfig(tile_size=TILE_SIZE))
    rows = []
    for scheme in SCHEMES:
        buffer = io.BytesIO()
        draw_partition(store, partition_store(store, scheme, num_clients=6, seed=0)).savefig(buffer, dpi=110)
        rows.append(np.asarray(Image.open(buffer).convert("RGB")))
    return Image.fromarray(np.concatenate(rows))


def draw_cells() -> Image.Image:
    """Draw an imbalance of labels and domains over 8 clients, with the cells."""
    store = open_store(DataConfig(tile_size=TILE_SIZE, num_domains=3))
    scheme = PartitionConfig(
        scheme="imbalance",
        domains_per_client=2,
        missing_share=0.3,
        tail_ratio=4,
        absent_cells=f"stroma@{store.domain_names[2]}",
    )
    buffer = io.BytesIO()
    draw_partition(store, partition_store(store, scheme, num_clients=8, seed=0)).savefig(buffer, dpi=110)
    return Image.open(buffer).convert("RGB")


def draw_lesion(size: int, seed: int) -> NDArray[np.uint8]:
    """Draw what stands for a photograph of skin, uint8 [size, size, 3]: a dark spot with an uneven edge, and hair."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    uneven = skimage.filters.gaussian(random.normal(0, 1, (size, size)), size / 12) * size / 12
    spot = 1 / (1 + np.exp(40 * (np.hypot(y - 0.5, x - 0.5) - 0.27 - 0.06 * uneven)))
    darker = (spot * (1 + 0.2 * uneven))[..., np.newaxis] * np.array([0.42, 0.4, 0.38])
    skin = np.array([0.86, 0.68, 0.6]) - darker + random.normal(0, 0.012, (size, size, 1))
    for start, slope, bend in random.uniform((-0.3, -0.9, -0.5), (1.2, 0.9, 0.5), (4, 3)):
        hair = np.abs(y - start - slope * x - bend * x**2) < 0.8 / size * np.hypot(1, slope + 2 * bend * x)
        skin = np.where(hair[..., np.newaxis], np.array([0.22, 0.16, 0.14]), skin)
    drawn: NDArray[np.uint8] = (255 * skin.clip(0, 1)).round().astype(np.uint8)
    return drawn


def draw_scanners() -> Figure:
    """Draw the same tiles as each scanner renders them, a row each: tissue, and drawn skin."""
    store = open_store(DataConfig(tile_size=64))
    some = np.concatenate([np.flatnonzero(store.labels == label)[[20, 60]] for label in (0, 1)])
    pictures = {"tissue": [*store.tiles(some)], "skin": [draw_lesion(64, seed) for seed in range(4)]}
    fitting = {
        kind: {name: scanner for name, scanner in SCANNERS.items() if scanner.made_for in ("any", kind)}
        for kind in pictures
    }
    rows = max(map(len, fitting.values()))
    figure = Figure(figsize=(11, 0.95 * rows), layout="constrained")
    panels = figure.subplots(rows, 2)
    for axes in panels.ravel():
        axes.axis("off")
    for column, (kind, tiles) in zip(panels.T, pictures.items(), strict=True):
        for axes, (name, scanner) in zip(column, fitting[kind].items(), strict=False):
            axes.axis("on")
            axes.spines[:].set_visible(False)
            axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
            framed = [np.pad(render(tile, scanner), ((0, 0), (0, 3), (0, 0)), constant_values=255) for tile in tiles]
            axes.imshow(np.concatenate(framed, axis=1), interpolation="nearest")
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure


def save_small(picture: Image.Image, path: Path) -> None:
    """Write a picture with 256 colours, which keeps it below 400 kB."""
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def main() -> None:
    """Write the pictures beside this file."""
    buffer = io.BytesIO()
    draw_colon_labels().savefig(buffer, dpi=100)
    save_small(Image.open(buffer).convert("RGB"), DOCS / "colon-labels.png")
    save_small(draw_partitions(), DOCS / "partitions.png")
    save_small(draw_cells(), DOCS / "partition-cells.png")
    buffer = io.BytesIO()
    draw_scanners().savefig(buffer, dpi=80)
    save_small(Image.open(buffer).convert("RGB"), DOCS / "scanners.png")


if __name__ == "__main__":
    main()
