"""Whole experiments on real Ray, real MLflow and real tiles."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from fedray import experiment
from fedray.config import ConfigError, ExperimentConfig, load_config
from fedray.data import TileShape
from fedray.evaluation import score_names
from fedray.federation import (
    client_app,
    latest_round,
    load_checkpoint,
    shared_arrays,
)
from fedray.learning import Condition
from fedray.results.finished import Finished
from fedray.results.ledger import Ledger
from fedray.simulation import RayGrid, WorkerPool, WorkerResources
from fedray.tasks.gan import Gan
from fedray.testing import LocalGrid
from tests.support.federation import first_state, rounds_of
from tests.support.mlflow_models import load_model


class StoppedError(Exception):
    """Stands for whatever ends a process between two rounds."""


class Left(NamedTuple):
    """A whole experiment and what it left."""

    config: ExperimentConfig
    result: experiment.Result
    seen: list[experiment.RoundResult]
    out: Path
    uri: str


@pytest.fixture(scope="module")
def run_experiment(workers):
    return partial(experiment.run_experiment, pool=workers)


@pytest.fixture(scope="module")
def leave(run_experiment, new_database, tmp_path_factory):
    """Return ``leave(config)``: an experiment in a folder and a database of its own."""

    def leave(config):
        folder, seen = tmp_path_factory.mktemp("left"), []
        uri = new_database(folder)
        result = run_experiment(config, out=folder / "run", tracking_uri=uri, on_round=seen.append)
        return Left(config, result, seen, folder / "run", uri)

    return leave


@pytest.fixture(scope="module")
def left(leave, small_config):
    """Two rounds, for all tests that look at what such an experiment leaves."""
    return leave(small_config())


@pytest.fixture(scope="module")
def whole(leave, small_config):
    """Three rounds that nobody stopped."""
    return leave(small_config(federation__num_rounds=3))


@pytest.fixture
def uri(tmp_path, new_database):
    return new_database(tmp_path)


def final_arrays(out):
    return shared_arrays(load_checkpoint(latest_round(out / "checkpoint"))[0])


def assert_close(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert np.allclose(value, second[name], atol=1e-6, rtol=1e-6), name


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def only_run(uri):
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("fedray").experiment_id])
    return client, run


def test_an_experiment_leaves_scores_pictures_history_and_a_tracked_run(left, small_store):
    config, result, seen, out, uri = left
    assert list(result.scores) == score_names(config.evaluation, small_store)
    assert [round_result.report.round_index for round_result in seen] == [1, 2]
    history = pd.read_parquet(out / "results.parquet")
    assert history["round"].tolist() == [1, 2]
    assert history["fid/efficientnet-lite0/16"].iloc[-1] == result.scores["fid/efficientnet-lite0/16"]
    assert load_config(out / "config.yaml") == experiment.settled(config)
    assert Image.open(out / "samples.png").width > 300

    client, run = only_run(uri)
    assert (run.info.run_id, run.info.status) == (result.run_id, "FINISHED")
    assert run.data.params["gan.n_critic"] == "2"
    assert run.data.tags["fedray.dataset-fingerprint"] == small_store.fingerprint
    fids = client.get_metric_history(result.run_id, "fid/efficientnet-lite0/16")
    assert [(m.step, m.value) for m in fids] == list(zip([1, 2], history["fid/efficientnet-lite0/16"], strict=True))
    artifacts = {item.path for item in client.list_artifacts(result.run_id)}
    assert {"config.yaml", "partition.png", "samples.png", "images"} <= artifacts
    pictures = {item.path.split("+")[2] for item in client.list_artifacts(result.run_id, "images")}
    assert pictures == {"0", "1", "2"}, "from the untrained generator on"

    for found in (Finished.open(out), Finished.open(result.run_id, uri)):
        assert (found.config, found.scores, found.run_id) == (result.config, result.scores, result.run_id)
        assert_same(found.arrays, final_arrays(out))
        pd.testing.assert_frame_equal(found.history, history, check_like=True, check_dtype=False)
        assert found.floor == result.floor != {}


def test_the_tracked_generator_comes_back_as_the_one_that_was_evaluated(left):
    _, result, _, out, uri = left
    _, run = only_run(uri)
    (output,) = run.outputs.model_outputs
    model_uri = f"models:/{output.model_id}"
    loaded = load_model(uri, model_uri)
    gan = Gan(result.config.gan, TileShape(16, 3, 2), seed=9)
    gan.load(final_arrays(out))
    noise, labels = torch.randn(5, 8), torch.tensor([0, 1, 1, 0, 1])
    with torch.inference_mode():
        expected = gan.generator_ema(noise, Condition(labels, torch.zeros_like(labels)))
        assert torch.allclose(loaded(noise, labels), expected, atol=1e-6)


@pytest.mark.parametrize("aggregate", ["both", "generator"])
def test_a_stopped_experiment_continues_to_the_same_end_in_the_same_run(
    run_experiment, leave, whole, small_config, tmp_path, uri, aggregate
):
    if aggregate != "both":
        whole = leave(small_config(federation__num_rounds=3, federation__aggregate=aggregate))
    config = whole.config

    def stop_after_two(result):
        if result.report.round_index == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_experiment(config, out=tmp_path / "run", tracking_uri=uri, on_round=stop_after_two)
    assert only_run(uri)[1].info.status == "FAILED"
    resumed = run_experiment(config, out=tmp_path / "run", tracking_uri=uri)

    assert_close(final_arrays(whole.out), final_arrays(tmp_path / "run"))
    assert resumed.scores == pytest.approx(whole.result.scores, rel=1e-4)
    assert resumed.history["round"].tolist() == [1, 2, 3]
    client, run = only_run(uri)
    assert run.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "fid/efficientnet-lite0/16")] == [1, 2, 3]


def test_a_finished_experiment_that_is_asked_for_more_rounds_comes_to_the_same_end_in_the_same_run(
    run_experiment, whole, small_config, tmp_path, uri
):
    first = run_experiment(small_config(federation__num_rounds=1), out=tmp_path / "run", tracking_uri=uri)
    more = run_experiment(small_config(federation__num_rounds=3), out=tmp_path / "run", tracking_uri=uri)
    assert more.run_id == first.run_id
    assert_close(final_arrays(whole.out), final_arrays(tmp_path / "run"))
    assert more.scores == pytest.approx(whole.result.scores, rel=1e-4)
    assert more.history["round"].tolist() == [1, 2, 3]
    assert load_config(tmp_path / "run" / "config.yaml").federation.num_rounds == 3
    assert Finished.open(tmp_path / "run").rounds == 3
    client, run = only_run(uri)
    assert run.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "fid/efficientnet-lite0/16")] == [1, 2, 3]
    with pytest.raises(ConfigError, match=r"federation\.num_rounds is 3 there, not 2"):
        run_experiment(small_config(federation__num_rounds=2), out=tmp_path / "run", tracking_uri=uri)


@pytest.mark.parametrize("strategy", ["fedavg", "fedavgm"])
def test_replies_merged_on_the_workers_change_rounding_only(run_experiment, small_config, tmp_path, uri, strategy):
    common = {"federation__num_clients": 4, "federation__num_rounds": 1, "federation__strategy": strategy}
    single, merged = (small_config(**common, federation__merge_replies=on) for on in (False, True))
    seen = []
    for config, out in ((single, "single"), (merged, "merged")):
        run_experiment(config, out=tmp_path / out, tracking_uri=uri, on_round=seen.append)
    assert_close(final_arrays(tmp_path / "single"), final_arrays(tmp_path / "merged"))
    reports = [result.report for result in seen]
    assert [(report.num_clients, report.num_failed) for report in reports] == [(4, 0), (4, 0)]
    assert reports[0].counts == reports[1].counts
    assert reports[1].losses == pytest.approx(reports[0].losses, rel=1e-5)
    assert reports[0].times["merge"] == 0 < reports[1].times["merge"]


def test_a_round_says_where_its_time_went(left):
    _, run = only_run(left.uri)
    parts = {name.removeprefix("round-seconds/") for name in run.data.metrics if name.startswith("round-seconds/")}
    assert parts == {"dispatch", "compute", "merge", "transfer", "aggregation"}
    assert 0 < run.data.metrics["worker-utilisation"] <= 1
    assert run.data.metrics["round-seconds/aggregation"] < run.data.metrics["round-seconds"]


def test_resuming_a_finished_experiment_changes_nothing(run_experiment, small_config, tmp_path, uri):
    config = small_config(evaluation__extractor="domain-cnn")
    first = run_experiment(config, out=tmp_path / "run", tracking_uri=uri)
    arrays = final_arrays(tmp_path / "run")
    again = run_experiment(config, out=tmp_path / "run", tracking_uri=uri)
    assert again.scores == pytest.approx(first.scores, rel=1e-6)
    assert_close(arrays, final_arrays(tmp_path / "run"))
    told = "domain-cnn tells labels apart: balanced accuracy "
    assert first.quality.startswith(told) and again.quality == first.quality
    _, run = only_run(uri)
    assert run.data.tags["fedray.extractor-quality"] == first.quality


def test_a_folder_of_another_experiment_is_refused(run_experiment, small_config, left):
    with pytest.raises(ConfigError, match="holds another experiment"):
        run_experiment(small_config(seed=5), out=left.out, tracking_uri=left.uri)


@pytest.mark.parametrize("mode", ["discriminator", "centralised", "md-gan", "privacy"])
def test_every_mode_runs_to_scores(run_experiment, small_config, tmp_path, uri, mode):
    change = {
        "discriminator": {"federation__aggregate": "discriminator"},
        "centralised": {"federation__mode": "centralised", "resources__engine": "workers"},
        "md-gan": {"federation__mode": "md-gan", "federation__local_steps": 2},
        "privacy": {
            "privacy__noise_multiplier": 0.1, "gan__generator": "residual", "federation__weighting": "uniform",
        },
    }[mode]  # fmt: skip
    result = run_experiment(small_config(**change), out=tmp_path / "run", tracking_uri=uri)
    assert all(np.isfinite(list(result.scores.values())))
    names = (item.path for item in only_run(uri)[0].list_artifacts(result.run_id, "images"))
    assert ("0" in {name.split("+")[2] for name in names}) == (mode != "discriminator"), "where a generator is at hand"
    assert ("privacy/epsilon" in result.history) == (mode == "privacy")
    spent = Ledger(str(tmp_path / "run")).epsilon(1e-5)
    assert spent == (result.history["privacy/epsilon"].iloc[-1] if mode == "privacy" else 0.0)


def test_rounds_without_evaluation_have_losses_only(run_experiment, small_config, tmp_path, uri):
    config = small_config(federation__num_rounds=3, evaluation__every=2)
    history = run_experiment(config, out=tmp_path / "run", tracking_uri=uri).history
    assert history["fid/efficientnet-lite0/16"].notna().tolist() == [False, True, True]  # the last is always evaluated
    assert history["loss/generator/loss"].notna().all()


def test_any_number_of_workers_gives_what_a_plain_loop_gives(small_config, workers):
    config = small_config(federation__num_clients=4)
    state = first_state(config)
    list(rounds_of(config, LocalGrid(client_app, 4), state))
    with WorkerPool(WorkerResources(num_workers=1)) as one:
        for pool in (one, workers):
            on_ray = first_state(config)
            list(rounds_of(config, RayGrid(client_app, 4, pool), on_ray))
            assert_close(shared_arrays(state), shared_arrays(on_ray))


def test_an_experiment_brings_its_own_workers_where_none_are_given(small_config, tmp_path, uri, ray_session):
    config = small_config(federation__num_rounds=1, resources__num_workers=1)
    result = experiment.run_experiment(config, out=tmp_path / "run", tracking_uri=uri)
    assert result.history["round/clients"].tolist() == [2]


def test_results_on_shared_storage_are_continued_on_another_machine(
    run_experiment, whole, tmp_path, uri, bucket, monkeypatch
):
    def stop(result):
        if result.report.round_index == 1:
            raise StoppedError

    config, place = whole.config, f"{bucket.uri}/runs/first"
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "one head"))
    with pytest.raises(StoppedError):
        run_experiment(config, out=place, tracking_uri=uri, on_round=stop)
    assert "runs/first/checkpoint/round-00001/state.json" in bucket.names()
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "another head"))
    rounds = []
    result = run_experiment(
        config, out=place, tracking_uri=uri, on_round=lambda done: rounds.append(done.report.round_index)
    )
    assert rounds == [2, 3]
    assert result.history["round"].tolist() == [1, 2, 3]
    assert_close(final_arrays(result.out), final_arrays(whole.out))
    assert "runs/first/samples.png" in bucket.names() and not any("round-00001" in name for name in bucket.names())
