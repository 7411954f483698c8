"""Whole classification experiments on real Ray and real MLflow."""

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from fedray import experiment
from fedray.data import write_store
from fedray.experiment.judging.labels import score_names, trivial_row
from fedray.federation import latest_round, load_checkpoint, shared_arrays
from fedray.tasks.classification import Classifier
from tests.support import classifiers
from tests.support.federation import run as run_in_process
from tests.support.mlflow_models import load_model
from tests.support.ray_train import stand_in_for_ray_train
from tests.support.small import random_tiles


class StoppedError(Exception):
    """Stands for whatever ends a process between two rounds."""


def test_a_federated_classifier_stops_resumes_and_leaves_all_there_is(workers, small_store, tmp_path, new_database):
    uri, out = new_database(tmp_path), tmp_path / "run"
    config = classifiers.experiment(small_store, federation__num_rounds=3, federation__local_epochs=3)

    def stop(result):
        if result.report.round_index == 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        experiment.run_experiment(config, out=out, tracking_uri=uri, pool=workers, on_round=stop)
    seen = []
    result = experiment.run_experiment(config, out=out, tracking_uri=uri, pool=workers, on_round=seen.append)
    assert [each.report.round_index for each in seen] == [2, 3]
    assert list(result.scores) == score_names(config, small_store)
    assert result.floor == trivial_row(result.config).floor
    assert result.scores["balanced-accuracy/test/20"] > 0.8 > result.floor["balanced-accuracy/test/20"] == 0.5
    assert pd.read_parquet(out / "results.parquet")["round"].tolist() == [1, 2, 3]
    assert Image.open(out / "confusion.png").width > 300
    assert not (out / "samples.png").exists() and not (out / "self_test.parquet").exists()

    # as in this process, without Ray and without a stop
    state, _, _ = run_in_process(result.config)
    found = shared_arrays(load_checkpoint(latest_round(out / "checkpoint"))[0])
    for name, value in shared_arrays(state).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)

    client = MlflowClient(uri)
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["fedray.task"] == "classification" and run.data.tags["fedray.network"] == "cnn"
    assert run.info.run_name.startswith("cnn small")
    scores = client.get_metric_history(result.run_id, "balanced-accuracy/test/20")
    assert [metric.step for metric in scores] == [2, 3] or [metric.step for metric in scores] == [1, 2, 3]
    (model,) = client.search_logged_models([run.info.experiment_id])
    loaded = load_model(uri, model.model_uri)
    one = Classifier(result.config.classification, classifiers.SHAPE._replace(num_labels=2), 0)
    one.load(found)
    pixels = small_store.tiles(small_store.indices("test"))
    as_floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    np.testing.assert_allclose(loaded(as_floats).detach().numpy(), one.logits(pixels), atol=1e-4)


def test_an_experiment_that_hands_out_tiles_goes_on_with_the_counts_and_the_account_it_had(
    workers, small_store, tmp_path, new_database
):
    tiles = (tile._replace(split="train") for tile in random_tiles(60, seed=1))
    made = write_store(tmp_path / "made", tiles, label_names=["dark", "bright"])
    config = classifiers.experiment(
        small_store,
        federation__mode="fedssg",
        federation__num_rounds=3,
        partition__scheme="majority-label",
        classification__tiles="both",
        classification__synthetic=str(made.path),
        classification__refresh_every=2,
        classification__count_noise=1e-3,  # no count is another one after it, and there is an account
    )
    out, told = tmp_path / "run", {"pool": workers, "tracking_uri": new_database(tmp_path)}

    def stop(result):
        raise StoppedError

    with pytest.raises(StoppedError):
        experiment.run_experiment(config, out=out, on_round=stop, **told)
    kept = load_checkpoint(latest_round(out / "checkpoint"))[0].told["counts"]
    result = experiment.run_experiment(config, out=out, **told)
    assert result.history["round"].tolist() == [1, 2, 3] and result.history["privacy/epsilon"].nunique() == 1
    assert (result.history["distribution/tiles"] > 0).all(), "round 2 is the first of another process"
    state, _, _ = run_in_process(result.config)
    found = load_checkpoint(latest_round(out / "checkpoint"))[0]
    assert (found.told["counts"] == kept).all() and (state.told["counts"] == kept).all()
    for name, value in shared_arrays(state).items():
        np.testing.assert_allclose(shared_arrays(found)[name], value, atol=1e-5, err_msg=name)


def test_a_centralised_classifier_is_one_client_with_all_tiles(
    ray_session, small_store, tmp_path, new_database, monkeypatch
):
    stand_in_for_ray_train(monkeypatch)
    config = classifiers.experiment(
        small_store, federation__mode="centralised", resources__num_workers=1, classification__patience=1
    )
    out = tmp_path / "run"
    result = experiment.run_experiment(config, out=out, tracking_uri=new_database(tmp_path))
    assert result.history["validation/loss"].notna().all()
    found = load_checkpoint(latest_round(out / "checkpoint"))[0]
    state, _, _ = run_in_process(result.config, rounds=found.round_index)
    expected = shared_arrays(state) if np.argmin(found.validation) == len(found.validation) - 1 else found.best
    for name, value in expected.items():
        np.testing.assert_allclose(shared_arrays(found)[name], value, atol=1e-5, err_msg=name)
