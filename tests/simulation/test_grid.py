import os
import threading
from collections import Counter

import numpy as np
import pytest
import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg

from fedray.simulation import RayGrid, SharedArray, SimulationError, WorkerPool

counting = ClientApp()


def answer(message: Message, metrics: dict | None = None, array: np.ndarray | None = None) -> Message:
    content = RecordDict({"metrics": MetricRecord({"num-examples": 1, **(metrics or {})})})
    if array is not None:
        content["arrays"] = ArrayRecord({"w": Array(array)})
    return Message(content, reply_to=message)


@counting.train()
def count(message: Message, context: Context) -> Message:
    """Count the calls of a client in its state; add one, in place, to the array that was sent."""
    seen = context.state["seen"]["n"] if "seen" in context.state else 0
    context.state["seen"] = MetricRecord({"n": seen + 1})
    if context.node_config["partition-id"] in message.content["config"]["failing"]:
        raise KeyError("no such tile")
    array = message.content["arrays"]["w"].numpy()
    array += 1
    return answer(message, {"seen": seen, "pid": os.getpid()}, array)


@counting.evaluate()
def describe(message: Message, context: Context) -> Message:
    metrics = {"partition": context.node_config["partition-id"], "partitions": context.node_config["num-partitions"]}
    return answer(message, {**metrics, "lr": context.run_config["lr"], "node": context.node_id})


@counting.query("custom_action")
def custom(message: Message, context: Context) -> Message:
    return answer(message, {"custom": 1, "size": sum(a.numpy().size for a in message.content["arrays"].values())})


@counting.query()
def misbehave(message: Message, context: Context):
    match message.content["config"]["how"]:
        case "nothing":
            return None
        case "run_config":
            context.run_config["lr"] = 9.0
            context.state["x"] = MetricRecord({"n": 1})
        case "another message":
            reply = answer(message)
            reply.metadata.__dict__["_reply_to_message_id"] = "another"
            return reply
        case "unpicklable":
            context.state["x"] = MetricRecord({"n": 1})
            context.state["x"].__dict__["lock"] = threading.Lock()
    return answer(message)


@pytest.fixture
def grid(pool: WorkerPool):
    grid = RayGrid(counting, 6, pool, run_config={"lr": 0.5})
    yield grid
    grid.close()


def content(value: float = 0.0, failing: list[int] | None = None, **config) -> RecordDict:
    config = {"failing": failing or [], **config}
    return RecordDict({"arrays": ArrayRecord([np.full((4, 2), value)]), "config": ConfigRecord(config)})


def to_all(grid: RayGrid, message_type: str = "train", **kwargs) -> list[Message]:
    shared = content(**kwargs)
    shared["arrays"]["w"] = shared["arrays"].pop("0")
    return [Message(shared, node_id, message_type) for node_id in grid.get_node_ids()]


def metric(replies: list[Message], name: str) -> list:
    return [reply.content["metrics"][name] for reply in sorted(replies, key=lambda r: r.metadata.src_node_id)]


def test_nodes_are_in_the_order_of_their_partitions(grid):
    ids = list(grid.get_node_ids())
    assert ids == sorted(ids)
    assert len({*ids, SUPERLINK_NODE_ID, 0}) == 8
    assert [node.node_id for node in grid.get_nodes()] == ids
    replies = grid.send_and_receive(to_all(grid, "evaluate"))
    assert metric(replies, "partition") == list(range(6))
    assert metric(replies, "node") == ids
    assert set(metric(replies, "partitions")) == {6}
    assert set(metric(replies, "lr")) == {0.5}


def test_replies_have_ids_and_say_what_they_reply_to(grid):
    messages = to_all(grid)
    replies = grid.send_and_receive(messages)
    assert {m.metadata.message_id for m in messages} == {r.metadata.reply_to_message_id for r in replies}
    assert len({r.metadata.message_id for r in replies} | {""}) == 7
    for reply in replies:
        assert reply.metadata.dst_node_id == SUPERLINK_NODE_ID
        assert reply.metadata.run_id == grid.run.run_id


def test_apps_get_writable_arrays_and_do_not_share_them(grid):
    replies = grid.send_and_receive(to_all(grid, value=2.0))
    for reply in replies:
        array = reply.content["arrays"]["w"]
        assert isinstance(array, SharedArray)
        np.testing.assert_array_equal(array.numpy(), np.full((4, 2), 3.0))
        array.numpy()[:] = 0  # a writable copy on this side too


def test_state_lives_from_message_to_message(grid):
    for seen in range(3):
        assert metric(grid.send_and_receive(to_all(grid)), "seen") == [seen] * 6


def test_messages_to_one_node_run_one_after_another(grid):
    node = grid.get_node_ids()[0]
    shared = to_all(grid)[0].content
    replies = grid.send_and_receive([Message(shared, node, "train") for _ in range(8)])
    assert [reply.content["metrics"]["seen"] for reply in replies] == list(range(8))


def test_snapshot_and_restore(grid, pool):
    grid.send_and_receive(to_all(grid)[:2])
    snapshot = grid.state_snapshot()
    assert sorted(snapshot) == list(grid.get_node_ids())[:2]
    assert snapshot[grid.get_node_ids()[0]]["seen"]["n"] == 1

    later = RayGrid(counting, 6, pool, run_config={"lr": 0.5})
    later.restore_state(snapshot)
    assert metric(later.send_and_receive(to_all(later)), "seen") == [1, 1, 0, 0, 0, 0]
    later.restore_state({})
    assert later.state_snapshot() == {}
    with pytest.raises(ValueError, match=r"\[99\]"):
        later.restore_state({99: RecordDict()})


def test_a_failing_client_gets_an_error_reply_and_keeps_its_state(grid):
    grid.send_and_receive(to_all(grid))
    replies = grid.send_and_receive(to_all(grid, failing=[1, 4]))
    errors = {reply.metadata.src_node_id: reply.error for reply in replies if reply.has_error()}
    assert list(sorted(errors)) == [grid.get_node_ids()[1], grid.get_node_ids()[4]]
    for error in errors.values():
        assert error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
        assert "KeyError" in error.reason
        assert "no such tile" in error.reason
    assert all(reply.metadata.message_id for reply in replies)
    assert metric(grid.send_and_receive(to_all(grid)), "seen") == [2, 1, 2, 2, 1, 2]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("nothing", "NoneType"),
        ("run_config", "run_config"),
        ("another message", "another message"),
        ("unpicklable", "lock"),
    ],
)
def test_a_misbehaving_client_gets_an_error_reply(grid, how, why):
    (reply,) = grid.send_and_receive(to_all(grid, "query", how=how)[:1])
    assert reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert why in reply.error.reason
    assert grid.state_snapshot() == {}


def test_custom_actions_and_unknown_ones(grid):
    (reply,) = grid.send_and_receive(to_all(grid, "query.custom_action")[:1])
    assert reply.content["metrics"]["custom"] == 1
    (reply,) = grid.send_and_receive(to_all(grid, "train.unheard_of")[:1])
    assert "unheard_of" in reply.error.reason


def test_push_and_pull(grid):
    ids = grid.push_messages(to_all(grid))
    replies: list[Message] = []
    while len(replies) < 6:
        assert grid._wait_for_any(set(ids), deadline=float("inf"))
        replies += grid.pull_messages(ids)
    assert {reply.metadata.reply_to_message_id for reply in replies} == set(ids)
    assert list(grid.pull_messages(ids)) == []


def test_messages_that_cannot_be_sent_are_refused_together(grid):
    good, late = to_all(grid)[:2]
    late.metadata.created_at -= 10 * late.metadata.ttl
    for bad in (Message(content(), 12345, "train"), late, answer(good)):
        with pytest.raises(ValueError, match=r"no such node: (12345|1);|expired"):
            grid.push_messages([good, bad])
    assert good.metadata.message_id == ""


def test_one_large_content_goes_into_the_object_store_once_and_small_ones_never(grid, monkeypatch):
    puts = Counter()
    put = ray.put
    monkeypatch.setattr(ray, "put", lambda value: puts.update([type(value).__name__]) or put(value))
    large = RecordDict({"arrays": ArrayRecord([np.zeros(100_000)])})
    grid.send_and_receive([Message(large, node, "query.custom_action") for node in grid.get_node_ids()])
    assert puts == {"RecordDict": 1}
    mixed = [content(), large] * 3
    replies = grid.send_and_receive(
        [Message(c, node, "query.custom_action") for c, node in zip(mixed, grid.get_node_ids(), strict=True)]
    )
    assert metric(replies, "size") == [8, 100_000] * 3
    assert puts == {"RecordDict": 2}


def test_one_pool_serves_one_grid_after_another_and_two_at_once(pool, grid):
    pids = set(metric(grid.send_and_receive(to_all(grid)), "pid"))
    other = RayGrid(counting, 6, pool, run_config={"lr": 0.1})
    messages, other_messages = to_all(grid), to_all(other)  # built in an order that mixes up Flower's global identity
    ids, other_ids = grid.push_messages(messages), other.push_messages(other_messages)
    for one, wanted in ((grid, set(ids)), (other, set(other_ids))):
        while wanted:
            assert one._wait_for_any(wanted, float("inf"))
            wanted -= {reply.metadata.reply_to_message_id for reply in one.pull_messages(wanted)}
    grid.close()
    replies = other.send_and_receive(to_all(other))
    assert {reply.metadata.run_id for reply in replies} == {other.run.run_id}
    assert set(metric(other.send_and_receive(to_all(other, "evaluate")), "lr")) == {0.1}
    other.close()
    with pytest.raises(SimulationError, match="closed"):
        other.push_messages(to_all(other))
    last = RayGrid(counting, 6, pool)
    pids |= set(metric(last.send_and_receive(to_all(last)), "pid"))
    assert len(pids) <= pool.resources.num_workers == 2


def test_an_app_that_cannot_be_pickled_is_refused_at_once(pool):
    lock = threading.Lock()
    app = ClientApp()
    app.train()(lambda message, context: lock)
    with pytest.raises(SimulationError, match="picklable"):
        RayGrid(app, 2, pool)


def test_arguments_are_checked(pool):
    with pytest.raises(ValueError, match="num_supernodes must be >= 1, but got 0"):
        RayGrid(counting, 0, pool)
    with pytest.raises(ValueError, match="max_tries must be >= 1, but got 0"):
        RayGrid(counting, 1, pool, max_tries=0)


def test_mods_wrap_the_app(pool):
    def doubling(message, context, call_next):
        reply = call_next(message, context)
        reply.content["metrics"]["seen"] = 42
        return reply

    app = ClientApp()
    app.train(mods=[doubling])(count)
    grid = RayGrid(app, 2, pool)
    assert metric(grid.send_and_receive(to_all(grid)), "seen") == [42, 42]


def test_legacy_apps_on_both_sides(pool):
    class Client(NumPyClient):
        def __init__(self, partition: int) -> None:
            self.partition = partition

        def get_parameters(self, config):
            return [np.zeros(3)]

        def fit(self, parameters, config):
            return [parameters[0] + self.partition], 1, {}

        def evaluate(self, parameters, config):
            return float(parameters[0][0]), 1, {}

    losses: list[list[tuple[int, float]]] = []

    class Strategy(LegacyFedAvg):
        def aggregate_evaluate(self, server_round, results, failures):
            assert not failures
            loss, metrics = super().aggregate_evaluate(server_round, results, failures)
            losses.append([(server_round, loss)])
            return loss, metrics

    def server_fn(context: Context) -> ServerAppComponents:
        strategy = Strategy(min_available_clients=4, accept_failures=False)
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=2))

    client_app = ClientApp(client_fn=lambda context: Client(context.node_config["partition-id"]).to_client())
    grid = RayGrid(client_app, 4, pool)
    ServerApp(server_fn=server_fn)(grid=grid, context=Context(grid.run.run_id, 0, {}, RecordDict(), {}))
    assert losses == [[(1, 1.5)], [(2, 3.0)]]
