"""Views of experiments in MLflow, as its server keeps and answers them."""

import base64
import json
import logging
import zlib

import pytest
from mlflow import MlflowClient

from fedray.experiment import open_run
from fedray.experiment.pages import headlines, keep_experiment_pages, keep_views
from fedray.tracking import START_TIME, RunsView, Tracker

SCORES = ["kid/efficientnet-lite0/16", "c2st/texture/16", "coverage/efficientnet-lite0/16"]


@pytest.fixture
def tracker(new_database, tmp_path):
    return Tracker(new_database(tmp_path), "fedray")


def views(tracker):
    """Read the views of an experiment as MLflow's UI does."""
    tags = MlflowClient(tracker.uri).get_experiment(tracker.experiment_id).tags
    found = [json.loads(value) for name, value in tags.items() if name.startswith("mlflow.sharedViewState.")]
    return {
        view["name"]: json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
        for view in found
    }


def test_experiments_on_the_same_tiles_stand_beside_each_other_newest_first(tracker, small_config, small_store):
    config = small_config(federation__num_rounds=7)
    sweep = tracker.start_run("a sweep", tags={"fedray.dataset-fingerprint": small_store.fingerprint})
    runs = []
    for key, parent in (("first", None), ("a trial", sweep.run_id), ("second", None)):
        runs.append(open_run(tracker, config, small_store, key=key, parent_run_id=parent))
        runs[-1].finish("FINISHED")
    for run in (runs[0], runs[2]):
        assert keep_experiment_pages(config, small_store, tracker, run.run_id) == {}, "a database has no pages"
    kept = views(tracker)
    assert list(kept) == [f"experiments on {small_store.name}", f"experiments on {small_store.name}: pictures"]
    client, (table, tiles) = MlflowClient(tracker.uri), kept.values()
    for view in (table, tiles):
        order = f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"
        found = client.search_runs([tracker.experiment_id], view["searchFilter"], order_by=[order])
        ids = [runs[2].run_id, runs[0].run_id]
        assert [run.info.run_id for run in found] == (ids if view is table else ids[::-1])
    assert [column for column in table["selectedColumns"] if column.startswith("metrics")] == [
        f"metrics.`{score}`" for score in SCORES
    ]
    assert [chart["metricKey"] for chart in table["compareRunCharts"]] == SCORES
    params = [column.removeprefix("params.`")[:-1] for column in table["selectedColumns"] if "params" in column]
    assert params and set(params) <= client.get_run(runs[0].run_id).data.params.keys()
    assert tiles["compareRunCharts"][0]["step"] == 7 and tiles["runListHidden"]


def test_a_view_that_the_server_refuses_costs_the_pages_alone(tracker, caplog):
    """More columns than its tag may have characters: MLflow's own limit."""
    run = tracker.start_run("run")
    names = [f"{number * 7919**9:x}" for number in range(1000)]
    with caplog.at_level(logging.WARNING):
        assert keep_views(tracker, "large", RunsView("large", "", START_TIME, True, params=names)) == {}
    assert "open without a view" in caplog.text and "exceeds the maximum length" in caplog.text
    assert len(caplog.text.splitlines()) == 1
    assert views(tracker) == {}
    run.finish("FINISHED")


def test_headlines_are_of_all_tiles_and_no_ends_of_intervals():
    names = ["fid/x/9", "kid/x/9/label/a", "kid/x/9", "c2st-low/t/9", "c2st/t/9", "c2st/x/9", "recall/x/9"]
    assert headlines(names) == {"KID": "kid/x/9", "c2st": "c2st/t/9"}
