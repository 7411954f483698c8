"""A dry run refuses what the run refuses, in the same words; what a user should know beside it is said by both."""

import socket
from functools import partial

import pytest

from fedray.data import write_store
from fedray.evaluation.extractors import inception
from tests.support.small import random_tiles


@pytest.fixture(params=["train_gan", "sweep_wgan"])
def job(request, write_config, write_space):
    run = request.getfixturevalue(request.param)
    return partial(run, *(("--config", write_config()) if request.param == "train_gan" else ("--space", write_space())))


@pytest.fixture
def one_label(tmp_path):
    tiles = (tile._replace(label=0) for tile in random_tiles())
    return write_store(tmp_path / "one-label", tiles, label_names=["dark"]).path


KRUM = ["--federation.strategy", "krum", "--federation.num-clients", 4, "--federation.num-malicious", 3]
TRIMMED = ["--federation.strategy", "trimmed-mean", "--federation.num-clients", 4]
WEIGHTS = ["--gan.discriminator", "resnet18", "--gan.initialisation", "imagenet", "--gan.weights", "none.pth"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (KRUM, "federation.strategy 'krum' needs at least 2 x federation.num_malicious + 3 clients a round"),
        (TRIMMED, "federation.trimmed_share of 0.2 leaves nobody out where 4 clients are sure"),
        (WEIGHTS, "gan.weights must be a file, but there is none at"),
        (["--out", "notes"], "--out notes cannot be used: notes is no folder"),
        (["--out", "notes/run"], "notes is no folder"),
        (["--data.tile-size", 32], "data.tile_size is 32, but the tile store"),
        (["--evaluation.num-samples", 21], "evaluation.num_samples must be at most the number of test tiles, 20"),
        (["--federation.num-clients", 21], "num_clients must be from 1 to the number of training tiles"),
        (["--gan.discriminator", "resnet"], "resnet"),
    ],
)
def test_both_refuse_in_the_same_words(job, refused, folder, argv, expected):
    (folder / "notes").write_text("mine")
    dry, real = refused(job, *argv, "--dry-run"), refused(job, *argv)
    assert expected in dry
    assert dry == real


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_an_extractor_that_learns_from_labels_needs_two(train_gan, refused, write_config, one_label, dry):
    options = ("--config", write_config(), "--data", one_label, "--evaluation.extractor", "domain-cnn", *dry)
    assert "'domain-cnn' learns to tell labels apart and needs at least 2" in refused(train_gan, *options)


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_weights_of_the_extractor_are_missed_before_anything_starts(
    train_gan, refused, write_config, monkeypatch, tmp_path, dry
):
    options = ("--config", write_config(), "--evaluation.extractor", "inception-v3-compat", *dry)
    message = refused(train_gan, *options, "--evaluation.extractor-weights", "none.pth")
    assert "cannot read the Inception weights none.pth" in message
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    with socket.socket() as unused:  # bound, so that nobody else takes the port, but not listening
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(inception, "WEIGHTS_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/weights.pth")
        message = refused(train_gan, *options)
    assert "the Inception weights are not at" in message and "cannot be reached" in message
    assert "set evaluation.extractor_weights to its path" in message


def test_a_dry_run_refuses_a_database_that_cannot_be_and_makes_none(job, refused, folder, monkeypatch):
    (folder / "notes").write_text("mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'notes' / 'mlflow.db'}")
    message = refused(job, "--dry-run")
    assert f"cannot be written (Not a directory: {folder / 'notes'})" in message
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'new' / 'mlflow.db'}")
    assert job("--dry-run").status == 0
    assert [path.name for path in folder.iterdir()] == ["notes"]


def test_tiles_that_stay_unused_are_said(job, tmp_path):
    tiles = [tile for index, tile in enumerate(random_tiles(80)) if tile.label == 0 or index < 40]
    store = write_store(tmp_path / "few", iter(tiles), label_names=["dark", "bright"])
    done = job("--data", store.path, "--partition.scheme", "majority-label", "--dry-run")
    assert done.status == 0, done.errors
    last = done.output.splitlines()[-1]
    assert last.startswith("# partition 'majority-label' leaves ") and "training tiles unused" in last
