"""Real tiles leave for MLflow only where the address is this machine's own, or where that was asked for."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from fedray.config import ExperimentConfig, override
from fedray.experiment.judged import PAGE, Subject, log_judgements, write_judgements
from fedray.experiment.tracked import keep_picture, log_start
from fedray.reports import REPORTS, Judged, RealTiles, memorisation
from fedray.reports.judgement import Judgement
from fedray.reports.sheet import About
from fedray.tracking import Tracker
from tests.support.coloured import generated, pictures_of_page, real_store, shows_real

DRAWN = generated(16).reshape(2, 8, 16, 16, 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return real_store(tmp_path_factory.mktemp("real") / "tiles")


@pytest.fixture(scope="module")
def judgement(store):
    """A judgement of generated tiles, and what its page says; the scores are nobody's business here."""
    features = lambda tiles: tiles.reshape(len(tiles), 4, 4, 4, 4, 3).mean((2, 4)).reshape(len(tiles), -1)  # noqa: E731
    real = RealTiles(store, "some", lambda tiles: features(tiles).astype(np.float32))
    judged = Judged("some", generated(30, seed=2), np.arange(30) % 2, real)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memorisation, "NUM_PLANTED", 8)
        patch.setattr(memorisation, "DRAWS", 20)
        findings = {name: report.make(judged) for name, report in REPORTS.items()}
    differences = pd.DataFrame(columns=["statistic", "distance", "floor", "shift"])
    about = About(SimpleNamespace(num_samples=30, self_test=None), "test", {}, [], {"seed": "0"}, {}, "python")
    return Judgement(judged, {}, {}, {}, {}, differences, findings), about


def logged(client, run_id, folder=None):
    """Return the paths of all files of a run, here."""
    found = []
    for entry in client.list_artifacts(run_id, folder):
        found += (
            logged(client, run_id, entry.path)
            if entry.is_dir
            else [Path(client.download_artifacts(run_id, entry.path))]
        )
    return found


def log_all(tracker, store, judgement, folder):
    """Log every picture that a run or a judgement may have; returns what MLflow has of them."""
    run = tracker.start_run("run")
    log_start(run, store, DRAWN)
    keep_picture(run, folder / "samples.png", store, DRAWN, "round 1")
    run.finish("FINISHED")
    subject = Subject("some", judgement[0].judged.tiles, judgement[0].judged.labels, {})
    write_judgements([judgement[0]], judgement[1], folder)
    [judged] = log_judgements([judgement[0]], [subject], judgement[1], folder, tracker)
    client = MlflowClient(tracker.uri)
    return [path for run_id in (run.run_id, judged) for path in logged(client, run_id)]


def pictures_in(paths):
    for path in paths:
        if path.suffix in (".png", ".webp"):
            yield path.name, path.read_bytes()
        elif path.suffix == ".html":
            yield from ((path.name, picture) for picture in pictures_of_page(path.read_text(encoding="utf-8")))


def test_no_picture_or_page_in_mlflow_shows_a_real_tile_unless_it_may(store, judgement, new_database, tmp_path):
    uri = new_database(tmp_path)
    (tmp_path / "results").mkdir()
    hidden = log_all(Tracker(uri, "hidden", real_tiles=False), store, judgement, tmp_path / "results")
    pictures = list(pictures_in(hidden))
    assert {Path(name).suffix for name, _ in pictures} == {".png", ".webp", ".html"} and len(pictures) > 8
    assert not [name for name, picture in pictures if shows_real(picture)]
    assert "real, held out" not in next(path for path in hidden if path.name == PAGE).read_text(encoding="utf-8")
    # What stays here has them, and what may show them does: the test above could fail.
    kept = list(pictures_in((tmp_path / "results").rglob("*.*")))
    told = list(pictures_in(log_all(Tracker(uri, "shown"), store, judgement, tmp_path / "results")))
    for some in (kept, told):
        shown = {name for name, picture in some if shows_real(picture)}
        assert {"samples.png", PAGE} <= shown and any("nearest-in-pixels" in name for name in shown)
    assert len(told) > len(pictures)


def test_a_figure_says_that_it_shows_real_tiles(judgement):
    for name, finding in judgement[0].findings.items():
        for figure in finding.figures:
            assert figure.real_tiles == shows_real(figure.png), (name, figure.name)
    assert any(figure.real_tiles for finding in judgement[0].findings.values() for figure in finding.figures)


@pytest.mark.parametrize(
    ("uri", "asked", "expected"),
    [
        ("sqlite:////home/anna/mlflow.db", None, True),
        ("http://127.0.0.1:5000", None, True),
        ("https://mlflow.hospital.example", None, False),
        ("https://mlflow.hospital.example", True, True),
        ("http://localhost:5000", False, False),
    ],
)
def test_the_address_decides_unless_the_configuration_does(uri, asked, expected):
    config = override(ExperimentConfig(), {"tracking.real_tiles": asked}, "test")
    assert Tracker(uri, "e", real_tiles=config.tracking.real_tiles).real_tiles is expected
