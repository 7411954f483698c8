"""jobs/doctor.py: what it finds, and that each problem comes with its remedy."""

import re
from pathlib import Path

import pytest
import yaml

from fedray.config import DataConfig
from fedray.sweep.doctor import examine
from fedray.sweep.space import load_space
from tests.support.jobs import Finished

AUTOSCALED = {
    "cluster_name": "clinic",
    "head_node_type": "head",
    "max_workers": 3,
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "max_workers": 0},
        "spot": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 4},
    },
}


@pytest.fixture
def doctor(run, ray_session, tmp_path, new_database, monkeypatch):
    """Return ``doctor(*arguments)``, which looks at the suite's Ray; results go to a folder of the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_database(tmp_path))

    def look(*arguments: object) -> Finished:
        return run("doctor", "--out", tmp_path / "out", *arguments)

    return look


def shipped_trials() -> int:
    """How many trials the space that the doctor plans has."""
    return load_space(Path(__file__).parents[2] / "search_spaces" / "wgan_gp.yaml").num_trials


def test_a_machine_on_which_everything_works_is_ready(doctor, small_store):
    done = doctor("--data", small_store.path)
    assert done.status == 0, done.output
    assert done.output.rstrip().endswith("ready")
    assert "small: 20 tiles to train and 20 to test, 16 px, 2 labels; the same on 1 node(s)" in done.output
    assert "4 CPUs and 0 GPUs on 1 node(s)" in done.output
    sent = re.search(
        r"^ok +upload: ray job submit .* would send (\d+) file\(s\), .* source text only$", done.output, re.M
    )
    assert sent and int(sent[1]) > 100 and "fedray " in sent[0] and "jobs " in sent[0]
    assert f"space wgan_gp: 4 of {shipped_trials()} trials at a time, each with 1 worker(s) of 1 CPU" in done.output
    assert "PROBLEM" not in done.output


def test_a_picture_that_would_travel_is_a_problem(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "patient.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    finding = next(examine(DataConfig(), str(tmp_path / "out"), "sqlite:///none", tmp_path))
    assert (finding.about, finding.level) == ("upload", "problem")
    assert "would send 1 file(s) that are no source text: jobs/patient.png (a PNG picture, 5.0 kB)" in finding.text
    assert ".rayignore" in finding.remedy and "--upload s3://BUCKET/PATH" in finding.remedy


def test_each_problem_comes_with_its_remedy(doctor, monkeypatch, bucket):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///runs")
    done = doctor("--data", f"{bucket.uri}/nothing", "--out", "s3://no-such-bucket/runs")
    assert done.status == 1
    assert f"PROBLEM data: there is no tile store at {bucket.uri}/nothing" in done.output
    assert "PROBLEM results: s3://no-such-bucket/runs cannot be written" in done.output
    assert "PROBLEM tracking: the tracking address file:///runs is a folder" in done.output
    assert "jobs/prepare_data.py --upload" in done.output and "AWS_ACCESS_KEY_ID" in done.output
    assert done.output.rstrip().endswith("3 problem(s)")


def test_results_on_shared_storage_are_written_on_trial_and_nothing_stays(doctor, small_store, bucket):
    done = doctor("--data", small_store.path, "--out", f"{bucket.uri}/runs/first")
    assert f"results: {bucket.uri}/runs/first can be written" in done.output
    assert bucket.names() == set()


def test_an_autoscaled_cluster_counts_as_large_as_it_may_become(doctor, small_store, tmp_path, monkeypatch):
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(AUTOSCALED))
    monkeypatch.setenv("FEDRAY_CLUSTER_CONFIG", str(file))
    done = doctor("--data", small_store.path)
    assert "note    cluster: clinic: 28 CPUs and 3 GPUs on 4 node(s) at the most, 1 of them up now" in done.output
    shown = f"space wgan_gp: 4 of {shipped_trials()} trials at a time, each with 1 worker(s) of 1 CPU and 0.5 GPU"
    assert shown in done.output


@pytest.mark.parametrize("content", ["- a list", "available_node_types: {gpu: {max_workers: 2}}", "a: [1"])
def test_a_cluster_file_that_is_none_is_a_problem(doctor, small_store, tmp_path: Path, monkeypatch, content):
    file = tmp_path / "cluster.yaml"
    file.write_text(content)
    monkeypatch.setenv("FEDRAY_CLUSTER_CONFIG", str(file))
    done = doctor("--data", small_store.path)
    assert done.status == 1
    assert "PROBLEM cluster: FEDRAY_CLUSTER_CONFIG" in done.output and "correct or unset it" in done.output
