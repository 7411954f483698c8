"""`ray job submit` of a sweep to a real cluster; `ray job stop` in its middle; submitted again with --resume."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.support.real_ray import RealRay, real_ray
from tests.support.small import NewDatabase
from tests.support.spaces import METRIC, write_trials

NUM_TRIALS, NUM_ROUNDS = 3, 6  # one at a time: when it is stopped, one runs and the last has not begun


@pytest.mark.timeout(600)
def test_a_sweep_that_is_stopped_ends_as_killed_and_goes_on_when_it_is_submitted_again(
    small_store, new_database: NewDatabase, tmp_path: Path, cache: Path
) -> None:
    write_trials(small_store, tmp_path / "space.yaml", num_trials=NUM_TRIALS, num_rounds=NUM_ROUNDS)
    uri = new_database(tmp_path)
    variables = {"MLFLOW_TRACKING_URI": uri, "FEDRAY_CACHE": str(cache)}
    out = tmp_path / "out"

    with real_ray("--num-cpus=1", RAY_JOB_STOP_WAIT_TIME_S="30") as ray:
        submit(ray, "first", variables, "--space", str(tmp_path / "space.yaml"), "--out", str(out))
        first = ray.job("first")
        first.wait_for(" round 1: ")
        first.stop()
        assert first.wait_for_end() == "STOPPED"
        assert f"with --resume {out} as its only option" in first.logs()
        assert "Traceback" not in first.logs()
        before = statuses(uri)
        assert before.pop("sweep small") == "KILLED"
        assert "KILLED" in before.values() and set(before.values()) <= {"FINISHED", "KILLED"}, before
        assert not (out / "results.parquet").exists()

        submit(ray, "second", variables, "--resume", str(out))
        status, printed = ray.job("second").wait_for_end(), ray.job("second").logs()
        assert status == "SUCCEEDED", printed

    trials = pd.read_parquet(out / "results.parquet")
    assert trials["outcome"].tolist() == ["complete"] * NUM_TRIALS, printed
    after = statuses(uri)
    assert set(after.values()) == {"FINISHED"} and len(after) == 1 + NUM_TRIALS
    assert set(before) <= set(after), "a stopped trial's run is continued, not doubled"
    assert rounds(uri) == [list(range(1, NUM_ROUNDS + 1))] * NUM_TRIALS


def submit(ray: RealRay, job_id: str, variables: dict[str, str], *arguments: str) -> None:
    environment = json.dumps({"env_vars": variables})
    ray.command(
        "job", "submit", "--no-wait", "--submission-id", job_id, "--working-dir", ".",
        "--runtime-env-json", environment, "--", "python", "jobs/sweep_wgan.py", *arguments,
    )  # fmt: skip


def statuses(uri: str) -> dict[str, str]:
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("fedray").experiment_id])
    return {run.info.run_name: run.info.status for run in runs}


def rounds(uri: str) -> list[list[int]]:
    client = MlflowClient(uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("fedray").experiment_id], "tags.`fedray.outcome` = 'complete'"
    )
    return [
        sorted({metric.step for metric in client.get_metric_history(run.info.run_id, METRIC)})
        for run in runs
        if "mlflow.parentRunId" in run.data.tags
    ]
