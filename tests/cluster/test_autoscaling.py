"""A sweep on an autoscaled cluster: nodes come when trials wait, a lost one costs no trial, and all go again."""

import re
from pathlib import Path

import pandas as pd
import pytest

from fedray.results import Place
from tests.support.fake_nodes import fake_cluster
from tests.support.small import NewDatabase
from tests.support.storage import Bucket
from tests.support.sweep_on_nodes import run_sweep_and_take_a_node, trials_of, write_space

NUM_TRIALS, NUM_ROUNDS = 2, 12


@pytest.mark.timeout(900)
def test_a_sweep_brings_its_nodes_survives_the_loss_of_one_and_lets_them_go(
    bucket: Bucket, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "here"))
    uri, out = new_database(tmp_path), f"{bucket.uri}/runs/autoscaled"
    space = write_space(tmp_path, NUM_TRIALS, NUM_ROUNDS)
    variables = {"FEDRAY_RESULTS": str(tmp_path / "head")}
    size = {"cpus": 1, "max_workers": NUM_TRIALS + 1, "idle_minutes": 0.2}
    with fake_cluster(tmp_path, **size, **bucket.environment) as cluster:
        assert cluster.workers() == set()
        run_sweep_and_take_a_node(cluster, space, NUM_TRIALS, out, uri, variables)
        (head,) = cluster.heads()
        printed = cluster.ray.job("sweep").logs()

    assert max(cluster.time_line.num_workers) >= NUM_TRIALS
    assert (cluster.time_line.num_workers[0], cluster.time_line.num_workers[-1]) == (0, 0)
    on = {name: nodes for name, nodes in cluster.actor_nodes.items() if "Trainable" in name or name == "Worker"}
    assert len(on) == 2 and all(head not in nodes for nodes in on.values()), "the head drives, and does nothing else"
    interrupted = re.findall(r"trial (\S+) was interrupted: .+ It goes on after round (\d+) ", printed)
    assert len({trial for trial, _ in interrupted}) == 1, printed
    assert all(0 < int(done) < NUM_ROUNDS for _, done in interrupted), "its checkpoints were not lost with its node"

    trials = trials_of(uri)
    assert [run.info.status for run in trials.runs] == ["FINISHED"] * NUM_TRIALS, "one run a trial"
    assert {run.data.tags["fedray.cluster"] for run in trials.runs} == {"fake"}
    assert trials.rounds == [list(range(1, NUM_ROUNDS + 1))] * NUM_TRIALS, printed
    results = pd.read_parquet(Place.at(out).folder / "results.parquet")
    assert results["outcome"].tolist() == ["complete"] * NUM_TRIALS
    assert any(name.startswith("runs/autoscaled/tune/") for name in bucket.names()), "checkpoints outlive their node"
