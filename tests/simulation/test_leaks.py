import gc
import os
import re
from pathlib import Path

import numpy as np
import pytest
import ray
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from ray._private.internal_api import memory_summary

from fedray.simulation import RayGrid, WorkerPool
from tests.support.loopback import wait_until

SIZE = 50_000  # 400 KB: arrays and states go through the object store

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    context.state["kept"] = ArrayRecord({"w": message.content["arrays"]["w"]})
    arrays = ArrayRecord({"w": Array(message.content["arrays"]["w"].numpy() + 1)})
    return Message(RecordDict({"arrays": arrays, "m": MetricRecord({"num-examples": 1})}), reply_to=message)


def private_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])


def used(pids: list[int]) -> dict[str, float]:
    """Open files and private memory (MB) of the driver and the workers."""
    gc.collect()
    found: dict[str, float] = {}
    for name, pid in zip(["driver", *["worker"] * len(pids)], [os.getpid(), *pids], strict=True):
        found[f"files of {name} {pid}"] = len(os.listdir(f"/proc/{pid}/fd"))
        found[f"memory of {name} {pid}"] = private_bytes(pid) / 2**20
    return found


def assert_objects_at_most(number: int) -> None:
    """Wait for the store to have that few: Ray frees objects in batches, about once a second."""
    wait_until(
        lambda: num_objects_in_store() <= number,
        lambda: f"{num_objects_in_store()} objects are left in the store, expected {number} at most",
        deadline_s=30,
    )


def num_objects_in_store() -> int:
    summary = memory_summary(ray.get_runtime_context().gcs_address, stats_only=True)
    return int(re.search(r"Plasma memory usage \d+ MiB, (\d+) objects", summary)[1])


def test_100_rounds_leave_nothing_behind(pool: WorkerPool):
    """Replies are merged in every other one."""
    others = num_objects_in_store()
    grid, w = RayGrid(app, 6, pool), np.zeros(SIZE)
    pids = sorted({pool.run(os.getpid, timeout_s=60) for _ in range(4)})
    before: dict[str, float] = {}
    for round_index in range(120):
        if round_index == 20:
            before = used(pids)
        strategy = FedAvg() if round_index % 2 else None
        content = RecordDict({"arrays": ArrayRecord({"w": Array(w)})})
        replies = grid.exchange([Message(content, node, "train") for node in grid.get_node_ids()], strategy)
        w = FedAvg().aggregate_train(round_index, replies)[0]["w"].numpy()
        del replies
    assert w[0] == pytest.approx(120)
    after = used(pids)
    grown = {name: after[name] - before[name] for name in before}
    assert max(value for name, value in grown.items() if name.startswith("files")) <= 4, grown
    assert max(value for name, value in grown.items() if name.startswith("memory")) <= 20, grown
    assert_objects_at_most(others + 12)  # 6 states and what is in flight; 120 rounds made 1,500
    grid.close()
    assert_objects_at_most(others + 6)
