"""Every report passes the suite that others' reports pass, and says something of a store that lacks a split."""

import pytest

from fedray.data import Tile, write_store
from fedray.reports import REPORTS, Judged, RealTiles
from fedray.testing import ReportSuite, real_textures, texture_labels, texture_tiles


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
class TestReports(ReportSuite):
    pass


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_store_without_the_other_split_raises_no_alarm(name, split, tmp_path):
    tiles = (
        Tile(image, label, 0, group=str(place), split=split, source="")
        for place, (image, label) in enumerate(zip(texture_tiles(0, 12), texture_labels(12).tolist(), strict=True))
    )
    real = RealTiles(write_store(tmp_path / "s", tiles, label_names=["a", "b"]), "some", real_textures(2).features)
    found = REPORTS[name].make(Judged("some", texture_tiles(1, 12), texture_labels(12), real))
    assert found.alarm is (False if (name, split) == ("collapse", "train") else None)
