"""What clients keep of messages stays where it is in the object store, however many keep it and for how long."""

import pickle

import numpy as np
import pytest
import ray
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedray.simulation import RayGrid, WorkerPool

SIZE = 300_000

app = ClientApp()


@app.query("take")
def take(message: Message, context: Context) -> Message:
    context.state["taken"] = message.content.array_records["arrays"]
    return Message(RecordDict({"m": MetricRecord({"ok": 1})}), reply_to=message)


@app.query("use")
def use(message: Message, context: Context) -> Message:
    """Answer with what was taken, and count in an array of its own."""
    used = context.state["used"]["n"].numpy() if "used" in context.state else np.zeros(1)
    context.state["used"] = ArrayRecord({"n": Array(used + 1)})
    taken = context.state["taken"]["w"].numpy()
    assert (taken == taken[0]).all()
    answer = MetricRecord({"taken": float(taken[0]), "used": float(used[0])})
    return Message(RecordDict({"m": answer}), reply_to=message)


@pytest.fixture
def grid(pool: WorkerPool):
    grid = RayGrid(app, 4, pool)
    yield grid
    grid.close()


def ask(grid: RayGrid, kind: str, values: dict[int, float]) -> list[tuple[float, float]]:
    """Send what belongs to values to clients, the same content where it is the same value."""
    contents = {
        value: RecordDict({"arrays": ArrayRecord({"w": Array(np.full(SIZE, value, np.uint8))})})
        for value in set(values.values())
    }
    nodes = grid.get_node_ids()
    messages = [Message(contents[value], nodes[client], f"query.{kind}") for client, value in values.items()]
    replies = sorted(grid.send_and_receive(messages), key=lambda reply: reply.metadata.src_node_id)
    assert not [reply.error.reason for reply in replies if reply.has_error()]
    return [(reply.content["m"].get("taken"), reply.content["m"].get("used")) for reply in replies]


def kept(grid: RayGrid) -> list[tuple]:
    return [grid._states.get(node).contents for node in grid.get_node_ids()]


def own_bytes(grid: RayGrid) -> list[int]:
    states = [grid._states.get(node) for node in grid.get_node_ids()]
    return [ray.get(state.parcel.reference)[state.place].nbytes for state in states]


def test_clients_share_what_they_were_sent_and_write_only_what_they_changed(grid):
    ask(grid, "take", dict.fromkeys(range(3), 7.0) | {3: 9.0})
    first, second, third, other = held = kept(grid)
    assert first == second == third != other and all(len(contents) == 1 for contents in held)
    for used in range(3):
        answers = ask(grid, "use", dict.fromkeys(range(4), 1.0))
        assert answers == [(7.0, used)] * 3 + [(9.0, used)]
        assert kept(grid) == held and max(own_bytes(grid)) < 3000
    ask(grid, "take", {1: 5.0})
    assert kept(grid)[1] not in held and [kept(grid)[client] for client in (0, 2, 3)] == [first, third, other]
    assert ask(grid, "use", dict.fromkeys(range(4), 1.0)) == [(7.0, 3), (5.0, 3), (7.0, 3), (9.0, 3)]


def test_a_snapshot_holds_all_that_was_kept_and_another_grid_goes_on_from_it(pool, grid):
    ask(grid, "take", dict.fromkeys(range(4), 7.0))
    ask(grid, "use", dict.fromkeys(range(4), 1.0))
    snapshot = pickle.loads(pickle.dumps(grid.state_snapshot()))
    assert all((state["taken"]["w"].numpy() == 7).all() for state in snapshot.values()) and len(snapshot) == 4
    fresh = RayGrid(app, 4, pool)
    fresh.restore_state(snapshot)
    assert kept(fresh) == [()] * 4
    assert ask(fresh, "use", dict.fromkeys(range(4), 1.0)) == [(7.0, 1)] * 4
    fresh.close()
