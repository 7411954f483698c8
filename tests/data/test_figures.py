import io

import pytest

from fedray.config import PartitionConfig
from fedray.data import TileStore, draw_partition, partition_store
from fedray.data.figures import MAX_BARS


@pytest.mark.parametrize("num_clients", [4, 100, MAX_BARS + 1])
def test_a_panel_for_labels_and_one_for_domains(colon: TileStore, num_clients: int) -> None:
    figure = draw_partition(colon, partition_store(colon, PartitionConfig(), num_clients, seed=0))
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert legends == [list(colon.label_names), list(colon.domain_names)]
    assert f"{num_clients} clients" in figure.get_suptitle()
    figure.savefig(image := io.BytesIO(), format="png")
    assert image.getvalue().startswith(b"\x89PNG")


def test_bars_have_the_height_of_the_counts(colon: TileStore) -> None:
    partition = partition_store(colon, PartitionConfig(scheme="majority-label"), 4, seed=0)
    figure = draw_partition(colon, partition)
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert heights == partition.counts(colon.labels, 2).T.tolist()
    assert f"{partition.unused} unused" in figure.get_suptitle()
