"""Tiles of a finished run: as many as are wanted of each label and domain, the same ones again, with their origin."""

import json
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from fedray.data import StoreError, TileStore, write_store
from fedray.data.writing import content_fingerprint
from fedray.results.basis import ShownTiles
from fedray.results.finished import Finished
from fedray.results.generating import (
    Cell,
    WantedError,
    cells_wanted,
    generated,
    origin_of,
    write_pictures,
    write_synthetic_store,
)
from tests.support.left import SCORES, leave
from tests.support.small import random_tiles

LABELS, DOMAINS = ("AC/H", "stroma"), ("north", "south", "west")
SHOWN = ShownTiles("f" * 32, 16, 3, LABELS, DOMAINS)


@pytest.fixture(scope="module")
def finished(small_config, new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    tiles = (tile._replace(domain=number % 3) for number, tile in enumerate(random_tiles()))
    store = write_store(folder / "store", tiles, label_names=LABELS, domain_names=DOMAINS)
    left = leave(small_config(data__store=str(store.path)), folder / "run", new_database(folder))
    return Finished.open(left.folder)


@pytest.mark.parametrize(
    ("counts", "cells"),
    [
        (["7"], [(0, 0, 3), (0, 1, 2), (0, 2, 2), (1, 0, 3), (1, 1, 2), (1, 2, 2)]),
        (["stroma=3"], [(1, 0, 1), (1, 1, 1), (1, 2, 1)]),
        (["AC/H=1"], [(0, 0, 1)]),
        (["AC/H/west=5", "stroma/south=2"], [(0, 2, 5), (1, 1, 2)]),
        (["3", "stroma=0", "AC/H/north=9"], [(0, 0, 9), (0, 1, 1), (0, 2, 1)]),
    ],
)
def test_counts_are_of_all_labels_of_one_or_of_one_in_one_domain(counts, cells):
    assert cells_wanted(counts, SHOWN) == [Cell(*cell) for cell in cells]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (["many"], "takes numbers, 1000 or LABEL=1000 or LABEL/DOMAIN=1000, but got 'many'"),
        (["stroma=-1"], "but got 'stroma=-1'"),
        (["stroma="], "but got 'stroma='"),
        (["stoma=4"], "knows no label 'stoma' .--counts stoma=4., but 'AC/H', 'stroma'; did you mean 'stroma'"),
        (["stroma/nort=4"], "knows no domain 'nort' .--counts stroma/nort=4., but 'north', 'south', 'west'"),
        (["stroma=0"], "no tile is wanted"),
        ([], "no tile is wanted"),
    ],
)
def test_what_cannot_be_asked_for_is_said(counts, message):
    with pytest.raises(WantedError, match=message):
        cells_wanted(counts, SHOWN)


def test_tiles_are_the_generators_own_and_the_same_again(finished):
    cells = [Cell(0, 1, 300), Cell(1, 2, 3)]
    seen = []
    tiles = list(generated(finished, cells, 5, on_progress=lambda *progress: seen.append(progress)))
    assert seen == [(256, 303), (300, 303), (303, 303)]
    kinds = [(key, len(list(group))) for key, group in groupby(tiles, lambda tile: (tile.label, tile.domain))]
    assert kinds == [((0, 1), 300), ((1, 2), 3)]
    assert len({tile.group for tile in tiles}) == 303 and {tile.split for tile in tiles} == {"train"}
    images = np.stack([tile.image for tile in tiles])
    assert len(np.unique(images.reshape(303, -1), axis=0)) == 303, "every tile another"
    again = np.stack([tile.image for tile in generated(finished, cells, 5)])
    other = np.stack([tile.image for tile in generated(finished, cells, 6)])
    assert np.array_equal(images, again) and not np.array_equal(images, other)
    alone = np.stack([tile.image for tile in generated(finished, cells[1:], 5)])
    assert np.array_equal(alone, images[300:]), "a cell does not hang on the others"


def test_a_synthetic_store_is_a_store_that_knows_its_origin(finished, tmp_path):
    cells = cells_wanted(["3"], finished.tiles)
    origin = origin_of(finished, cells, seed=1)
    made = write_synthetic_store(tmp_path / "made", generated(finished, cells, 1), finished.tiles, origin)
    again = TileStore.open(tmp_path / "made")
    assert again.origin == made.origin == json.loads(json.dumps(origin))
    assert content_fingerprint(again) == again.fingerprint
    assert (again.label_names, again.domain_names) == (LABELS, DOMAINS)
    assert np.bincount(again.labels).tolist() == [3, 3] and np.bincount(again.domains).tolist() == [2, 2, 2]
    assert len(again.group_names) == len(again) == len(again.indices("train"))
    assert origin["scores"] == {name: value for name, value in SCORES.items() if "/label/" not in name}
    assert (origin["run-id"], origin["rounds"], origin["seed"]) == (finished.run_id, 2, 1)
    assert origin["learned-from"] == finished.tiles.fingerprint and origin["counts"]["stroma/west"] == 1
    assert origin["config"]["gan"]["generator_channels"] == finished.config.gan.generator_channels
    real = write_store(tmp_path / "real", random_tiles(), label_names=["dark", "bright"])
    assert real.origin == {}


def test_pictures_are_the_tiles_a_folder_a_label_or_nothing_at_all(finished, tmp_path):
    like = finished.tiles._replace(label_names=("gland", "stroma"))
    cells = [Cell(0, 0, 2), Cell(1, 1, 1)]
    origin = {"made-by": "a test"}
    assert write_pictures(tmp_path / "made", generated(finished, cells, 0), like, origin) == 3
    for tile in generated(finished, cells, 0):
        path = tmp_path / "made" / like.label_names[tile.label] / f"{tile.group}.png"
        assert np.array_equal(np.asarray(Image.open(path)), tile.image)
    assert json.loads((tmp_path / "made" / "origin.json").read_text()) == origin

    def broken():
        yield from generated(finished, cells[:1], 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pictures(tmp_path / "other", broken(), like, origin)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    left = tmp_path / ".other.partial" / "gland"  # of a process that was killed
    left.mkdir(parents=True)
    (left / "half.png").touch()
    assert write_pictures(tmp_path / "other", generated(finished, cells, 0), like, origin) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "other"]
    assert not (tmp_path / "other" / "gland" / "half.png").exists()
    with pytest.raises(StoreError, match="exists already"):
        write_pictures(tmp_path / "other", generated(finished, cells, 0), like, origin)
    with pytest.raises(StoreError, match="label 'AC/H' cannot be the name of a folder"):
        write_pictures(tmp_path / "third", generated(finished, cells, 0), finished.tiles, origin)
