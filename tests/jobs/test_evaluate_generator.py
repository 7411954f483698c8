"""jobs/evaluate_generator.py: a run and tiles from elsewhere in; a page that needs no network, tables and runs out."""

import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fedray.config import EvaluationConfig
from fedray.data import Tile, TileStore, write_store
from fedray.evaluation import Evaluator, mode_of
from fedray.reports import REPORTS, memorisation
from fedray.testing import texture_labels, texture_tiles
from tests.support.html_pages import Page, shown_whole
from tests.support.left import leave
from tests.support.small import random_tiles

NASTY = "noise <b>&\"'$x$"
"""Name of a folder, which stands on the page and in charts."""


@pytest.fixture(scope="module")
def work(small_config, new_database, tmp_path_factory):
    """A folder with a store of textures, a run that learned from them, and noise as pictures."""
    folder = tmp_path_factory.mktemp("judged")
    store = write_store(folder / "textures", textures(), label_names=["dark", "bright"])
    left = leave(small_config(data__store=str(store.path)), folder / "run", new_database(folder))
    rng = np.random.default_rng(0)
    for label in ("dark", "bright"):
        (folder / NASTY / label).mkdir(parents=True)
        for place in range(16):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / NASTY / label / f"{place}.png")
    return folder, left


def textures():
    for seed, split in enumerate(("train", "test")):
        images = texture_tiles(seed, 20).repeat(2, axis=1).repeat(2, axis=2)
        for place, (image, label) in enumerate(zip(images, texture_labels(20).tolist(), strict=True)):
            yield Tile(image, label, 0, group=f"{split}{place}", split=split, source="")


@pytest.fixture(scope="module")
def judged(work):
    """The output of the job, run once for all tests: both side by side."""
    import contextlib
    import io
    import os

    from tests.support.jobs import load

    folder, left = work
    argv = ["--run", left.run_id, "--tiles", NASTY, "--num-samples", "32", "--out", "judgement"]
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()) as output,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("MLFLOW_TRACKING_URI", "FEDRAY_RESULTS"):
            patch.delenv(name, raising=False)
        patch.setitem(os.environ, "COLUMNS", "200")
        patch.setattr(memorisation, "NUM_PLANTED", 8)  # the power curve's own tests plant more
        patch.setattr(memorisation, "DRAWS", 20)
        load("evaluate_generator").main(argv)
    return folder, left, output.getvalue()


@pytest.fixture
def evaluate_generator(run):
    return lambda *arguments: run("evaluate_generator", *arguments)


def test_the_page_needs_nothing_but_itself_and_shows_names_as_they_are(judged):
    folder, left, output = judged
    page = Page((folder / "judgement" / "report.html").read_text(encoding="utf-8"))
    assert len(page.images) > 20
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"].strip() for image in page.images)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert NASTY in page.text and left.run_id in page.text and "Side by side" in page.text
    for report in REPORTS.values():
        assert page.text.count(report.question) == 2
    assert "python jobs/evaluate_generator.py --run" in page.text and "fid/efficientnet-lite0/32" in page.text
    assert output.count("about ") >= 1 and " of one CPU" in output and "judgement/report.html" in output


def test_noise_is_worse_than_real_tiles_at_everything_and_the_page_says_so(judged):
    folder, _, output = judged
    table = pd.read_parquet(folder / "judgement" / "scores.parquet")
    noise = table[table["set"] == NASTY].set_index("score")
    assert len(noise) >= 6 and set(noise.index) == {name for name in noise.index if mode_of(name)}
    worse = np.where(noise["better"] == "lower", noise["value"] > noise["floor"], noise["value"] < noise["floor"])
    # Of 32 tiles a ball takes noise in.
    few = noise.index.str.startswith(("precision/", "density/"))
    assert (worse | few).all() and worse.sum() >= 6
    num, level = len(noise), len(noise) - int(worse.sum())
    words = f"all {num} scores they are" if not level else f"{num - level} of {num} scores they are worse than other"
    assert f"{NASTY}: " in output and f"by {words}" in output


def test_scores_are_those_of_the_evaluator(judged):
    folder, left, _ = judged
    table = pd.read_parquet(folder / "judgement" / "scores.parquet")
    evaluator = Evaluator.prepare(TileStore.open(folder / "textures"), EvaluationConfig(num_samples=32))
    paths = [folder / NASTY / label / f"{place}.png" for label in ("dark", "bright") for place in range(16)]
    expected = evaluator.scores(np.stack([np.asarray(Image.open(path)) for path in paths]), np.repeat([0, 1], 16))
    noise = table[table["set"] == NASTY].set_index("score")
    assert noise["value"].to_dict() == pytest.approx({name: expected[name] for name in noise.index})
    assert noise["floor"].to_dict() == pytest.approx({name: evaluator.floor[name] for name in noise.index})
    assert set(table["set"]) == {left.run_id, NASTY}
    kept = pd.read_parquet(folder / "judgement" / "memorisation-tiles.parquet")
    assert set(kept["set"]) == set(table["set"]) and len(kept[kept["set"] == NASTY]) == 2 * 32


def test_every_set_has_a_run_in_mlflow_with_the_page_and_all_figures(judged):
    folder, left, output = judged
    runs = re.findall(r"In MLflow, the run ([0-9a-f]{32})", output)
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = [client.get_run(run_id) for run_id in runs]
    assert [run.data.tags["fedray.judged"] for run in found] == [left.run_id, NASTY]
    assert found[0].data.tags["fedray.judged-run"] == left.run_id
    table = pd.read_parquet(folder / "judgement" / "scores.parquet")
    for run, (_, rows) in zip(found, table.groupby("set", sort=False), strict=True):
        assert run.info.status == "FINISHED"
        assert {name: run.data.metrics[name] for name in rows["score"]} == pytest.approx(
            dict(zip(rows["score"], rows["value"], strict=True))
        )
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"report.html", "scores.parquet", "memorisation-power.parquet", "figures"} <= files
        assert len(client.list_artifacts(run.info.run_id, "figures")) == 6


def test_a_browser_shows_it_whole(judged):
    folder, *_ = judged
    assert NASTY in shown_whole(folder / "judgement" / "report.html", at_least=21)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "name what is to be judged: --run RUN, or --tiles STORE_OR_FOLDER"),
        (["--run", "nowhere"], "there is no results folder nowhere"),
        (["--run", "RUN", "--data", "OTHER"], "makes tiles whose size is 16 px, but "),
        (["--run", "RUN", "--data", "NAMES"], "makes tiles whose labels are dark, bright, but "),
        (["--run", "RUN", "--num-samples", 50], "num_samples must be at most the number of test tiles, 40"),
        (["--tiles", "none", "--data", "STORE"], "none does not exist"),
    ],
)
def test_what_cannot_be_judged_is_said_before_anything_is_computed(
    evaluate_generator, refused, work, tmp_path, argv, expected
):
    places = {
        "RUN": lambda: work[1].folder,
        "STORE": lambda: work[0] / "textures",
        "OTHER": lambda: write_store(tmp_path / "o", random_tiles(size=8), label_names=["dark", "bright"]).path,
        "NAMES": lambda: write_store(tmp_path / "n", random_tiles(), label_names=["dim", "bright"]).path,
    }
    assert expected in refused(evaluate_generator, *(places.get(word, lambda word=word: word)() for word in argv))
