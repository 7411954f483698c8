"""jobs/generate_tiles.py: a finished run in; a store that other jobs take, or pictures, out."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fedray.data import TileStore, write_store
from tests.support.left import leave
from tests.support.small import random_tiles


@pytest.fixture(scope="module")
def left(small_config, new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left")
    return leave(small_config(), folder / "run", new_database(folder))


@pytest.fixture
def generate_tiles(run, left):
    return lambda *arguments: run("generate_tiles", "--run", left.folder, *arguments)


def test_from_a_run_to_a_store_that_the_next_command_scores(generate_tiles, run, left, folder, small_store):
    done = generate_tiles("--out", "made", "--counts", "dark=12", "bright=9", "--seed", 3)
    assert done.status == 0, done.errors
    made = TileStore.open(folder / "made")
    assert np.bincount(made.labels).tolist() == [12, 9] and made.origin["seed"] == 3
    assert (
        "21 synthetic tiles of 16 px" in done.output and f"made by run {left.run_id} after 2 round(s): " in done.output
    )
    command = done.output.partition("next: python jobs/")[2].split()
    assert command == ["score_tiles.py", "--data", str(small_store.path), "--tiles", str(folder / "made")]
    scored = run("score_tiles", *command[1:], "--num-samples", 16, "--out", "scores")
    assert scored.status == 0, scored.errors
    train = done.output.partition("too: python jobs/")[2].partition("\n")[0].split()
    planned = run("train_classifier", *train[1:], "--dry-run", "--resources.device", "cpu")
    assert planned.status == 0 and "trains on 20 real and 21 synthetic tiles" in planned.output, planned.errors
    again = generate_tiles("--out", "made", "--counts", "2", "--overwrite")
    assert again.status == 0 and len(TileStore.open(folder / "made")) == 4


def test_pictures_are_those_of_the_store(generate_tiles, folder):
    assert generate_tiles("--out", "store", "--counts", 2).status == 0
    done = generate_tiles("--out", "pictures", "--counts", 2, "--png")
    assert done.status == 0 and "what made them is in " in done.output and "origin.json" in done.output
    store = TileStore.open(folder / "store")
    paths = sorted((folder / "pictures").glob("*/*.png"), key=lambda path: path.name)
    assert [path.parent.name for path in paths] == ["dark", "dark", "bright", "bright"]
    assert np.array_equal(np.stack([np.asarray(Image.open(path)) for path in paths]), store.tiles(slice(None)))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "--run RUN --out DIR"),
        (["--out", "made", "--counts", "drak=1"], "did you mean 'dark'?"),
        (["--out", "s3://bucket/made"], "--out must be a folder of this machine"),
        (["--out", "made", "--png", "--overwrite"], "--overwrite replaces tile stores alone"),
        (["--out", ".", "--png"], "exists already; name another folder for --png"),
        (["--out", ".", "--overwrite"], "is not a tile store, so it is not overwritten"),
        (["--out", "made", "--run", "nowhere"], "there is no results folder nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(generate_tiles, refused, argv, expected):
    assert expected in refused(generate_tiles, *argv)


def test_the_gate_keeps_its_answers_and_writes_what_passed(
    generate_tiles, run, small_config, new_database, refused, folder
):
    """Hardly trained, both labels look alike: a classifier of real tiles calls both by one of them."""
    none = generate_tiles("--out", "none", "--counts", 5, "--gate", "--limits.tiles", 32)
    assert none.status == 2 and "no cell passed the gate" in none.errors and "copies" in none.errors
    assert (folder / "none.gate.parquet").exists() and not (folder / "none").exists()
    few = write_store(folder / "few", random_tiles(36), label_names=["dark", "bright"])  # too few to ask for copies
    finished = leave(small_config(data__store=str(few.path)), folder / "run", new_database(folder))
    done = run("generate_tiles", "--run", finished.folder, "--out", "made", "--counts", 5, "--gate")
    assert done.status == 0, done.errors
    answers, made = pd.read_parquet(folder / "made.gate.parquet"), TileStore.open(folder / "made")
    passed = answers[answers["handed out"]]["label"].unique().tolist()
    assert [made.label_names[label] for label in np.unique(made.labels)] == passed and len(passed) == 1
    assert made.origin["counts"] == {f"{passed[0]}/default": 5}
    assert [row["value"] for row in made.origin["gate"]["cells"] if row["check"] == "distance"] == [None, None]
    assert "not handed out, " in done.output and "made.gate.parquet" in done.output
    assert "--limits is for the gate; add --gate" in refused(generate_tiles, "--out", "x", "--limits.tiles", 32)
    assert "--data is for the gate; add --gate" in refused(generate_tiles, "--out", "x", "--data", "colon")
