"""A whole sweep on real Ray and real MLflow: more trials than fit, one that diverges, some that are stopped early."""

import base64
import json
import sys
import zlib
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
from mlflow import MlflowClient
from PIL import Image

from fedray.cluster import ResourceError
from fedray.config import load_config
from fedray.data import write_store
from fedray.experiment.judging.samples import evaluate
from fedray.federation import latest_round, load_server
from fedray.randomness import torch_stream
from fedray.results.finished import Finished, ResultsError
from fedray.storage import SharedFolder, digest
from fedray.sweep import load_space, open_study, plan_sweep, promotion, run_sweep
from fedray.sweep.counted import counted_folder
from fedray.sweep.plan import SweepPlan
from fedray.tracking import mlflow_key
from fedray.tracking.address import sqlite_uri
from tests.support.small import random_tiles
from tests.support.spaces import EXPLODING, METRIC, small_space

SWEEP_RUN = "sweep small"


LABELS = ("Ki67<14%", "Ki67>14% [red] $x$ //..")


@pytest.fixture(scope="module")
def sweep(ray_session, cache, new_database, tmp_path_factory):
    """Five trials of two workers each on four CPUs: two fit at a time, three wait their turn.

    Its labels and folders have names that are markup, paths, addresses and formulas elsewhere.
    """
    folder = tmp_path_factory.mktemp("sweep") / "[red] data%20export?x=1#y"
    folder.mkdir()
    store = write_store(folder / "$tiles$ [b]", random_tiles(), label_names=LABELS)
    space = small_space(store)
    new_database(folder)
    uri = sqlite_uri(folder / "mlflow.db")
    result = run_sweep(space, out=folder / "out put%2F", tracking_uri=uri)
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("fedray").experiment_id], max_results=100)
    return result, client, runs


def test_more_trials_than_fit_all_end(sweep):
    result, _, _ = sweep
    assert len(result.trials) == 5
    assert set(result.trials["outcome"]) <= {"complete", "pruned", "failed"}
    assert "complete" in set(result.trials["outcome"])


def test_the_table_is_best_first_and_the_best_is_complete(sweep):
    trials = sweep[0].trials
    complete = trials[trials["outcome"] == "complete"]
    assert complete["score"].is_monotonic_increasing
    assert trials["outcome"].iloc[0] == "complete"
    assert complete["rounds"].eq(3).all()


def test_a_diverged_trial_failed_in_its_first_round(sweep):
    result, _, runs = sweep
    exploded = result.trials[result.trials["gan.discriminator_lr"] == EXPLODING]
    assert exploded["outcome"].eq("failed").all()
    assert exploded["start_point"].any()
    keys = set(exploded["trial"])
    assert {run.info.status for run in runs if run.data.tags.get("fedray.key") in keys} == {"FAILED"}


def test_mlflow_has_one_child_a_trial_with_its_config_its_rounds_and_its_outcome(sweep):
    result, client, runs = sweep
    (parent,) = [run for run in runs if run.info.run_name == SWEEP_RUN]
    assert parent.info.status == "FINISHED"
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(runs) - 1 == 5
    by_key = {run.data.tags["fedray.key"]: run for run in children}
    for trial in result.trials.to_dict("records"):
        run = by_key[trial["trial"]]
        assert run.data.tags["fedray.outcome"] == trial["outcome"]
        assert run.info.run_id == trial["run_id"]
        assert float(run.data.params["gan.generator_lr"]) == trial["gan.generator_lr"]
        if trial["outcome"] != "failed":
            assert run.info.status == "FINISHED"
            history = client.get_metric_history(run.info.run_id, METRIC)
            assert [metric.step for metric in history] == list(range(1, int(trial["rounds"]) + 1))
            values = [metric.value for metric in history]
            assert min(values) == values[int(trial["scored_round"]) - 1] == trial["score"] == run.data.metrics["score"]
            assert run.data.metrics["scored-round"] == trial["scored_round"]
            for name in result.floor:
                metrics = client.get_metric_history(run.info.run_id, mlflow_key(name))
                assert {metric.step: metric.value for metric in metrics}[trial["scored_round"]] == trial[name]
            steps = client.get_metric_history(run.info.run_id, "round/generator-steps")
            assert sum(metric.value for metric in steps) == trial["generator-steps"] > 0
            seconds = client.get_metric_history(run.info.run_id, "round-seconds")
            assert sum(metric.value for metric in seconds) < trial["seconds"]


def test_runs_are_named_by_what_ran_and_hold_its_data_and_its_first_pictures(sweep):
    result, client, runs = sweep
    (parent,) = [run for run in runs if run.info.run_name == SWEEP_RUN]
    assert {run.data.tags["mlflow.source.name"] for run in runs} == {Path(sys.argv[0]).name}
    assert {given.dataset.name for run in runs for given in run.inputs.dataset_inputs} == {"$tiles$ [b]"}
    assert len(parent.inputs.dataset_inputs) == 1
    best = next(run for run in runs if run.data.metrics.get("rank") == 1)
    assert best.info.run_id == result.best["run_id"]
    row = result.best
    assert best.info.run_name == (
        f"small {row['trial']}: n_critic {row['gan.n_critic']}, generator_lr {row['gan.generator_lr']:.3g}, "
        f"discriminator_lr {row['gan.discriminator_lr']:.3g}"
    )
    names = [Path(entry.path).name for entry in client.list_artifacts(best.info.run_id, "images")]
    assert sorted({int(name.split("+")[2]) for name in names}) == [0, 1, 2, 3], "from the untrained generator on"


def view(client, runs, end=""):
    """Read a view of the sweep as MLflow's UI does: an envelope whose state is deflated."""
    (parent,) = [run for run in runs if run.info.run_name == SWEEP_RUN]
    tags = client.get_experiment(parent.info.experiment_id).tags
    state = json.loads(tags[f"mlflow.sharedViewState.fedray-{parent.info.run_id}{end}"])["state"]
    return parent, json.loads(zlib.decompress(base64.b64decode(state.removeprefix("deflate;"))))


def test_its_views_find_and_order_its_trials(sweep):
    result, client, runs = sweep
    parent, table = view(client, runs)
    assert (table["orderByKey"], table["orderByAsc"]) == ("metrics.`rank`", True)
    scores = [METRIC, "kid/efficientnet-lite0/16", "c2st/texture/16", "coverage/efficientnet-lite0/16"]
    assert table["selectedColumns"] == [
        "tags.`fedray.outcome`",
        *(f"metrics.`{name}`" for name in ["rank", "score", "scored-round", *scores]),
        *(f"params.`{path}`" for path in result.space.search),
    ]
    trials = result.trials.set_index("run_id")
    complete = trials.index[trials["outcome"] == "complete"]
    for state, ids in ((table, trials.index), (view(client, runs, "-pictures")[1], complete)):
        found = client.search_runs([parent.info.experiment_id], state["searchFilter"], order_by=["metrics.`rank` ASC"])
        assert [run.info.run_id for run in found] == list(ids), "as in the table of the sweep"
    assert {run.data.tags["fedray.kind"] for run in runs} == {"sweep", "trial"}


def test_the_results_can_be_read_and_the_best_run_again(sweep):
    result, _, _ = sweep
    frame = pd.read_parquet(result.out / "results.parquet")
    assert frame["trial"].tolist() == result.trials["trial"].tolist()
    assert load_config(result.out / "best.yaml") == result.best_config
    assert load_space(result.out / "sweep.yaml") == result.space
    assert Image.open(result.out / "samples.png").width > 300


def test_the_generator_of_the_best_trial_is_found_by_its_scores_as_documented(sweep):
    result, client, runs = sweep
    order = [{"field_name": f"metrics.{METRIC}", "ascending": True}]
    [model] = client.search_logged_models([runs[0].info.experiment_id], order_by=order, max_results=1)
    (parent,) = [run for run in runs if run.info.run_name == SWEEP_RUN]
    assert model.source_run_id == parent.info.run_id
    scores = {metric.key: metric.value for metric in model.metrics}
    assert scores[METRIC] == result.best["score"]
    of_labels = {mlflow_key(f"kid/efficientnet-lite0/16/label/{label}") for label in LABELS}
    assert of_labels < scores.keys() and len(of_labels) == 2
    assert scores.keys() == parent.data.metrics.keys()
    assert {metric.step for metric in model.metrics} == {result.best["scored_round"]}
    assert json.loads(model.tags["fedray.label-names"]) == list(LABELS)
    assert model.tags["fedray.round"] == f"{result.best['scored_round']:g}"


def test_the_words_of_labels_stay_in_the_results(sweep):
    result, _, runs = sweep
    assert result.space.fixed.data.store.endswith("$tiles$ [b]")
    (dataset,) = {run.inputs.dataset_inputs[0].dataset.name for run in runs if run.inputs.dataset_inputs}
    assert dataset == "$tiles$ [b]"
    folder = result.out.parent
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_the_best_score_is_that_of_its_checkpoint(sweep):
    result, _, _ = sweep
    (checkpoint,) = (result.out / "tune" / result.best["trial"]).glob("checkpoint_*")
    arrays, round_index = load_server(latest_round(counted_folder(checkpoint)))
    again = evaluate(result.best_config, round_index, arrays)
    assert round_index == result.best["scored_round"] == result.best_config.federation.num_rounds
    assert again.scores[METRIC] == pytest.approx(result.best["score"], rel=1e-4)


def test_it_ends_with_a_report_that_its_run_has_too(sweep):
    result, client, runs = sweep
    (parent,) = [run for run in runs if run.info.run_name == SWEEP_RUN]
    text = (result.out / "report.html").read_text(encoding="utf-8")
    assert all(trial in text for trial in result.trials["trial"])
    assert {"report.html", "importance.parquet"} <= {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_its_study_says_when_each_round_ran_and_what_it_took(sweep):
    result, _, _ = sweep
    table = result.trials.set_index("number")
    for trial in open_study(result.out).trials:
        row, times = table.loc[trial.number], trial.user_attrs["times"]
        assert trial.user_attrs["run_id"] == row["run_id"]
        assert all(begun <= ended for _, begun, ended in times)
        assert all(before[2] <= after[1] for before, after in pairwise(times)), "one round after another"
        if row["outcome"] == "failed":
            continue
        assert [index for index, *_ in times] == list(range(1, int(row["rounds"]) + 1))
        assert row["core-seconds"] == pytest.approx(row["seconds"] * 2), "of two workers with a core each"
        assert 0 < row["training-seconds"] + row["scoring-seconds"] < row["seconds"]


@pytest.mark.parametrize("place", ["folder", "address", "MLflow"])
def test_its_best_trial_opens_again_alike_from_everywhere(sweep, place, request):
    result, client, runs = sweep
    (parent,) = [run.info.run_id for run in runs if run.info.run_name == SWEEP_RUN]
    if place == "address":
        bucket = request.getfixturevalue("bucket")
        shared = SharedFolder(f"{bucket.uri}/runs/small")
        shared.upload(
            result.out, [str(path.relative_to(result.out)) for path in result.out.rglob("*") if path.is_file()]
        )
        found = Finished.open(shared.uri)
        assert bucket.count_reads("server.safetensors") == 1, "of the best trial alone"
    else:
        found = Finished.open(parent, client.tracking_uri) if place == "MLflow" else Finished.open(result.out)
    best = result.best
    assert (found.kind, found.config, found.rounds) == ("sweep", result.best_config, best["scored_round"])
    assert found.run_id == best["run_id"] and found.tiles.label_names == LABELS
    pd.testing.assert_frame_equal(found.history, result.trials)
    tracked = [name for name in client.get_run(found.run_id).data.metrics if "/16" in name]
    assert {mlflow_key(name) for name in found.scores} == set(tracked)
    for name, value in found.scores.items():
        history = client.get_metric_history(found.run_id, mlflow_key(name))
        assert {metric.step: metric.value for metric in history}[found.rounds] == value
    assert found.scores[METRIC] == best["score"] and found.floor == result.floor
    (checkpoint,) = (result.out / "tune" / best["trial"]).glob("checkpoint_*")
    arrays, _ = load_server(latest_round(counted_folder(checkpoint)))
    assert found.arrays.keys() == arrays.keys()
    assert all((found.arrays[name] == array).all() for name, array in arrays.items())
    assert found.sampler().sample(np.array([0, 1]), torch_stream(0, "augment")).shape == (2, 16, 16, 3)


def test_every_trial_that_ran_all_its_rounds_opens_again_and_the_others_say_why_not(sweep):
    result, client, runs = sweep
    (parent,) = [run.info.run_id for run in runs if run.info.run_name == SWEEP_RUN]
    kept, lost = Finished.open_trials(result.out)
    complete = result.trials[result.trials["outcome"] == "complete"]
    assert [one.run_id for one in kept] == list(complete["run_id"]) and len(kept) + len(lost) == len(result.trials)
    assert all("after" in why and "was not kept" in why for why in lost.values())
    assert kept[0].config == Finished.open(result.out).config and len({str(one.config) for one in kept}) == len(kept)
    for one, score in zip(kept, complete["score"], strict=True):
        assert one.scores[METRIC] == score and one.floor == result.floor
        assert one.sampler().sample(np.array([0]), torch_stream(0, "augment")).shape == (1, 16, 16, 3)
    [best], others = Finished.open_trials(parent, client.tracking_uri)
    assert best.run_id == kept[0].run_id and list(others) == list(result.trials["trial"][1:])


def test_a_trial_names_the_run_to_open_in_its_place(sweep):
    result, client, runs = sweep
    (parent,) = [run.info.run_id for run in runs if run.info.run_name == SWEEP_RUN]
    with pytest.raises(ResultsError, match=f"is a trial of a sweep, .* open that one: {parent}"):
        Finished.open(result.best["run_id"], client.tracking_uri)


def test_its_folder_and_tunes_are_their_owners(sweep):
    result, *_ = sweep
    for made in (result.out, result.out / "tune", result.out.parent / "mlartifacts"):
        assert made.stat().st_mode & 0o777 == 0o700, made


def test_tune_staged_its_files_in_a_folder_of_the_sweeps_own(sweep, ray_session):
    result, *_ = sweep
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    [staged] = (session / "artifacts").glob(f"*-{digest(str(result.out.resolve() / 'tune').encode())[:12]}")
    assert (staged / "tune" / "driver_artifacts").is_dir()


def test_a_finished_sweep_is_not_run_again(sweep, ray_session):
    result, client, runs = sweep
    again = run_sweep(result.space, out=result.out, tracking_uri=client.tracking_uri)
    pd.testing.assert_frame_equal(again.trials, result.trials)
    assert len(client.search_runs([runs[0].info.experiment_id], max_results=100)) == len(runs)


@pytest.mark.parametrize(
    ("cpus", "max_concurrent", "num_trials", "expected"),
    [(4, 4, 5, (2, 2)), (2, 4, 5, (2, 1)), (64, 4, 5, (2, 4)), (64, 8, 3, (2, 3))],
)
def test_trials_at_a_time_are_what_fits(small_store, cpus, max_concurrent, num_trials, expected):
    from fedray.cluster import ClusterSize, NodeSize

    space = small_space(small_store, max_concurrent=max_concurrent, num_trials=num_trials)
    plan: SweepPlan = plan_sweep(space, ClusterSize((NodeSize(cpus),)))
    assert (plan.workers.num_workers, plan.concurrent_trials) == expected
    assert sum(bundle.get("CPU", 0) for bundle in plan.placement().bundles) == plan.workers.num_workers


def test_a_trial_that_never_fits_is_refused_with_the_numbers(small_store, tmp_path, ray_session):
    space = small_space(small_store, fixed=small_space(small_store).trial_config({}).model_dump() | {
        "resources": {"num_workers": 1000, "device": "cpu"}
    })  # fmt: skip
    with pytest.raises(ResourceError, match=r"needs 1000 x .*never run more than 4 such workers"):
        run_sweep(space, out=tmp_path / "out", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_over_private_generators_promotes_them_shows_the_clients_tiles_and_logs_no_generator(
    small_store, new_database, tmp_path, workers, monkeypatch
):
    """What goes on after the search has the suite's warm workers."""
    monkeypatch.chdir(small_store.path.parent)
    monkeypatch.setattr(promotion, "start_workers", lambda *_: nullcontext(workers))
    space = small_space(small_store, num_trials=1, start_points=[], promote={"rounds": 1}, search={
        "gan.n_critic": {"type": "int", "low": 2, "high": 2}
    })  # fmt: skip
    fixed = space.trial_config(
        {"federation.aggregate": "discriminator", "data.store": small_store.path.name, "resources.num_workers": 1}
    )
    uri = new_database(tmp_path)
    result = run_sweep(space.with_changes(fixed, {}), out=tmp_path / "out", tracking_uri=uri)
    best = result.best
    assert (best["outcome"], best["promoted_rounds"], best["rounds"]) == ("complete", 1, best["search_round"] + 1)
    assert (tmp_path / "out" / "promoted" / best["trial"]).stat().st_mode & 0o777 == 0o700
    assert load_config(tmp_path / "out" / "best.yaml").federation.num_rounds == best["scored_round"]
    assert Finished.open(tmp_path / "out").rounds == best["scored_round"]
    assert Image.open(tmp_path / "out" / "samples.png").width > 300
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("fedray").experiment_id])
    assert [run.outputs.model_outputs for run in runs] == [[], []]
