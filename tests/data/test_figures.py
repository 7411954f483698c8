import io
from pathlib import Path

import numpy as np
import pytest

from fedray.config import PartitionConfig
from fedray.data import TileStore, draw_partition, partition_store, write_store
from fedray.data.figures import MAX_BARS
from tests.support.small import random_tiles


@pytest.mark.parametrize("num_clients", [4, 100, MAX_BARS + 1])
def test_a_panel_for_labels_one_for_domains_and_one_for_their_pairs(colon: TileStore, num_clients: int) -> None:
    figure = draw_partition(colon, partition_store(colon, PartitionConfig(), num_clients, seed=0))
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes[:2]]
    assert legends == [list(colon.label_names), list(colon.domain_names)]
    assert f"{num_clients} clients" in figure.get_suptitle()
    figure.savefig(image := io.BytesIO(), format="png")
    assert image.getvalue().startswith(b"\x89PNG")


def test_the_map_of_cells_has_the_counts_and_is_white_where_there_is_none(colon: TileStore) -> None:
    config = PartitionConfig(scheme="imbalance", domains_per_client=2, absent_cells=f"stroma@{colon.domain_names[2]}")
    partition = partition_store(colon, config, 6, seed=0)
    cells = draw_partition(colon, partition).axes[2]
    drawn = cells.images[0].get_array()
    counts = partition.counts(colon.labels * 3 + colon.domains, 6).T
    np.testing.assert_array_equal(np.ma.filled(drawn, 0), counts)
    assert np.all(drawn.mask == (counts == 0)) and np.all(drawn.mask[5])
    assert [text.get_text() for text in cells.get_yticklabels()][5] == f"stroma, {colon.domain_names[2]}"
    assert [text.get_text() for text in cells.texts] == [f"{count}" for count in counts.ravel()]


def test_bars_have_the_height_of_the_counts(colon: TileStore) -> None:
    partition = partition_store(colon, PartitionConfig(scheme="majority-label"), 4, seed=0)
    figure = draw_partition(colon, partition)
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert heights == partition.counts(colon.labels, 2).T.tolist()
    assert f"{partition.unused} unused" in figure.get_suptitle()


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    """Neither formulas nor left out: `$x$` is markup for matplotlib, and `_x` means "not in the legend"."""
    labels = ["_none", "p16$^+$ > 5 $"]
    tiles = [tile._replace(client=f"site ${tile.label} $\\frac") for tile in random_tiles()]
    store = write_store(tmp_path / "a $ store $", tiles, label_names=labels)
    figure = draw_partition(store, partition_store(store, PartitionConfig(scheme="client"), 2, seed=0))
    figure.savefig(io.BytesIO(), format="png")
    axes = figure.axes[0]
    assert [text.get_text().strip() for text in axes.get_legend().get_texts()] == labels
    assert [text.get_text() for text in axes.get_xticklabels()] == ["site $0 $\\frac", "site $1 $\\frac"]
    drawn = [*axes.get_legend().get_texts(), *axes.get_xticklabels(), figure.texts[0]]
    assert not any(text.get_parse_math() for text in drawn)
