"""jobs/score_tiles.py: the scores that an evaluator gives to the same tiles, and what it refuses before it computes."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fedray.config import EvaluationConfig
from fedray.data import write_store
from fedray.evaluation import Evaluator, interval_names, mode_of
from tests.support.small import random_tiles

INCEPTION = ["--evaluation.extractor", "inception-v3-compat"]


@pytest.fixture
def score_tiles(run, small_store):
    return lambda *arguments: run("score_tiles", "--data", small_store.path, *arguments)


@pytest.fixture
def pictures(folder):
    """Write 30 dark and 30 bright tiles as pictures; the folder, and the tiles by label."""
    tiles = {"dark": [], "bright": []}
    for number, tile in enumerate(random_tiles(60, seed=5)):
        label = ("dark", "bright")[tile.label]
        tiles[label].append(tile.image)
        (folder / "made" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile.image).save(folder / "made" / label / f"{number:02d}.png")
    return tiles


def test_scores_of_pictures_are_those_of_the_evaluator(score_tiles, small_store, pictures, folder):
    for label in ("dark", "bright"):  # as many as are compared: which ones are drawn does not matter
        for path in sorted((folder / "made" / label).iterdir())[8:]:
            path.unlink()
    done = score_tiles("--tiles", "made", "--num-samples", 16, "--out", "scores")
    assert (done.status, done.errors) == (0, "")
    evaluator = Evaluator.prepare(small_store, EvaluationConfig(num_samples=16))
    tiles = np.stack([*pictures["dark"][:8], *pictures["bright"][:8]])
    expected = evaluator.scores(tiles, np.repeat([0, 1], 8))
    table = pd.read_parquet(folder / "scores" / "scores.parquet").set_index("score")
    goals = {name: value for name, value in expected.items() if mode_of(name)}
    assert table["value"].to_dict() == pytest.approx(goals) and len(goals) >= 4
    assert table["floor"].to_dict() == pytest.approx({name: evaluator.floor[name] for name in goals})
    c2st = "c2st/texture/16"
    ends = table.loc[c2st, ["low", "high"]].tolist()
    assert ends == pytest.approx([expected[end] for end in interval_names(c2st)])
    shown = [name if "/label/" not in name else f".../label/{name.partition('/label/')[2]}" for name in goals]
    assert all(name in done.output for name in shown)
    assert all(f"{value:.4g}" in done.output for value in goals.values())
    assert "self-test: real tiles destroyed on purpose" in done.output
    assert "left out" not in done.output and "Results: scores/: " in done.output
    assert Image.open(folder / "scores" / "samples.png").width > 300
    assert sorted(path.name for path in folder.iterdir()) == ["made", "scores"]


def test_of_a_store_as_many_as_are_compared_are_drawn_by_the_seed(score_tiles, folder, tmp_path):
    made = write_store(tmp_path / "made", random_tiles(400, seed=5), label_names=["dark", "bright"])
    values = {}
    for out, seed in (("one", 0), ("two", 0), ("three", 1)):
        done = score_tiles("--tiles", made.path, "--num-samples", 16, "--seed", seed, "--out", out)
        assert done.status == 0, done.errors
        assert f"note: 384 of 400 tiles are left out; which, is drawn by --seed {seed}" in done.output
        values[out] = pd.read_parquet(folder / out / "scores.parquet")["value"].tolist()
    assert values["one"] == values["two"] != values["three"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "name the tiles to score: --tiles STORE_OR_FOLDER"),
        (["--tiles", "none"], "none does not exist"),
        (["--tiles", "made", "--num-samples", 21], "num_samples must be at most the number of test tiles, 20"),
        (["--tiles", "made", "--num-samples", 3], "evaluation.num_samples: input should be greater than or equal"),
        (["--tiles", "few"], "which needs 10 of 'dark', not 8; generate more, or compare fewer by --num-samples 16"),
        (["--tiles", "made", "--tiles-split", "test"], "a folder of pictures has no split 'test'"),
        (["--tiles", "made", "--data.tile-size", 32], "data.tile_size is 32, but the tile store"),
        (["--tiles", "made", *INCEPTION, "--evaluation.extractor-weights", "none.pth"],
         "cannot read the Inception weights none.pth"),
        (["--tiles", "made", "--out", "notes"], "--out notes cannot be used: notes is no folder"),
        (["--tiles", "made", "--out", "before"], "--out before holds scores.parquet already; name another folder"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_is_computed(
    score_tiles, refused, pictures, folder, monkeypatch, argv, expected
):
    monkeypatch.setattr(Evaluator, "prepare", None)
    (folder / "notes").write_text("mine")
    (folder / "before").mkdir()
    (folder / "before" / "scores.parquet").write_text("of another day")
    (folder / "few").mkdir()
    for label, count in {"dark": 8, "bright": 30}.items():
        (folder / "few" / label).mkdir()
        for path in sorted((folder / "made" / label).iterdir())[:count]:
            (folder / "few" / label / path.name).write_bytes(path.read_bytes())
    assert expected in refused(score_tiles, *argv)
