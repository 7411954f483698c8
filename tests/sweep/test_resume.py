"""A sweep whose driver is killed goes on where it was."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from tests.support.spaces import METRIC, write_trials


def start(tmp_path, uri, ray_address):
    script = Path(__file__).parents[1] / "support" / "run_small_sweep.py"
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "space.yaml"), str(tmp_path / "out"), uri, ray_address],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_a_killed_sweep_resumes_without_repeating_or_losing_a_trial(small_store, new_database, tmp_path, ray_address):
    """One trial at a time: half as many processes that import everything."""
    uri = new_database(tmp_path)
    write_trials(small_store, tmp_path / "space.yaml", num_trials=3, num_rounds=3, max_concurrent=1)

    driver = start(tmp_path, uri, ray_address)
    shown = []
    for line in driver.stdout:  # kill it in the middle of a trial, with at least one trial done
        shown.append(line)
        if "| 1/3 trials" in line:
            driver.send_signal(signal.SIGKILL)
            break
    driver.wait(timeout=60)
    driver.stdout.close()
    assert driver.returncode == -signal.SIGKILL, "".join(shown)

    # Whatever the kill may have left of the files that Tune writes all the time: here nothing.
    torn = [path for path in (tmp_path / "out" / "tune").iterdir() if "state-" in path.name and path.suffix != ".zip"]
    assert {path.name.partition("-")[0] for path in torn} == {"experiment_state", "searcher", "search_gen_state"}
    for path in torn:
        path.write_bytes(b"")

    # The last line's own trial is still running for the driver, whatever its round was.
    done_before = set(re.findall(r"trial (\w+) round 3", "".join(shown[:-1])))
    assert done_before

    resumed = start(tmp_path, uri, ray_address)
    output, _ = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, output
    for key in done_before:
        assert f"trial {key} round" not in output, "a finished trial was run again"

    client = MlflowClient(uri)
    experiment_id = client.get_experiment_by_name("fedray").experiment_id
    trials = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert trials["outcome"].tolist() == ["complete"] * 3
    assert trials["rounds"].tolist() == [3.0] * 3
    runs = client.search_runs([experiment_id])
    children = {run.data.tags["fedray.key"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert len(runs) == 4
    assert set(children) == set(trials["trial"])
    assert done_before <= set(children)
    for run in children.values():
        assert run.info.status == "FINISHED"
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, METRIC)]
        assert sorted(set(steps)) == [1, 2, 3]
