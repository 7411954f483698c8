import os
import sys

import pytest

from fedray.simulation import NoWorkerError, StartWatch, WorkerPool, WorkerResources
from fedray.simulation.workers.last_words import of_worker


def test_a_worker_that_dies_in_its_set_up_is_heard(ray_session):
    def setup() -> None:
        print("CUDA error: no kernel image is available\nsee the driver's log", file=sys.stderr, flush=True)
        os._exit(3)

    with (
        WorkerPool(WorkerResources(1, cpus_per_worker=0.1), setup=setup) as pool,
        pytest.raises(NoWorkerError) as caught,
    ):
        pool.run(abs, -2, timeout_s=200)
    message = str(caught.value)
    assert "its last words: CUDA error: no kernel image is available | see the driver's log" in message
    assert "End of file" in message, "Ray's own cause"
    assert "lower cpus_per_worker" not in message, "there was room for it"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("bash: line 1: /no/such/python: No such file or directory\n", "/no/such/python: No such file or directory"),
        ("Traceback\n  File x\nModuleNotFoundError: No module named 'flwr'\n\n", "No module named 'flwr'; all of it"),
        (":job_id:01000000\nterminate called\n" + "x" * 90_000 + "\n", "xxx; all of it"),
    ],
)
def test_a_process_that_dies_before_it_is_a_worker_is_heard(tmp_path, monkeypatch, written, expected):
    """In the node's own log, as Ray 2.55 keeps it. (A real one blocks its raylet's next starts for a minute.)"""
    monkeypatch.setattr("fedray.simulation.workers.last_words._logs", lambda: tmp_path)
    (tmp_path / "raylet.err").write_text("of somebody before us\n")
    watch = StartWatch(lambda: "asked for 1 worker")
    assert (
        watch.explain()
        == f"asked for 1 worker; if there is room for them, see raylet.err in {tmp_path} on their machines"
    )
    with (tmp_path / "raylet.err").open("a") as log:
        log.write(written)
    message = watch.explain()
    assert message.startswith("worker processes die as they start, and say: ") and expected in message
    assert message.endswith(f"all of it is in {tmp_path / 'raylet.err'}") and len(message) < 700
    assert "somebody" not in message and "job_id" not in message


def test_a_worker_on_another_machine_has_its_words_there(ray_session):
    death = "The actor died unexpectedly.\n\tpid: 77\n\tnamespace: a\n\tip: 203.0.113.9\nThe actor is dead"
    assert of_worker(death).startswith("its last words are on 203.0.113.9 in ")
    assert of_worker(death).endswith("/logs/worker-*-77.err")
    assert of_worker("The actor died because its node died.") == ""
