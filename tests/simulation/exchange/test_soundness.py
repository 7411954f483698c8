import math

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Metadata, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.serverapp.strategy import FedAvg, FedMedian, Krum

from fedray.simulation import UnsoundRepliesError
from fedray.simulation.exchange.soundness import sound_replies


def reply(node_id, value=1.0, weight=10.0, kind="train"):
    metadata = Metadata(1, f"reply {node_id}", node_id, 1, f"message {node_id}", "", 0.0, 10.0, kind)
    records = {"metrics": MetricRecord({"num-examples": weight, "loss": 1.0})}
    if kind == "train":
        arrays = {"fine": Array(np.ones(3, np.float32)), "w": Array(np.array([1.0, value], np.float32))}
        records["arrays"] = ArrayRecord(arrays)
    return make_message(metadata, RecordDict(records))


@pytest.mark.parametrize(
    ("value", "weight", "cause"),
    [
        (math.nan, 10.0, "its array 'w' is not finite"),
        (-math.inf, 10.0, "its array 'w' is not finite"),
        (1.0, math.nan, "its 'num-examples' is nan"),
        (1.0, math.inf, "its 'num-examples' is inf"),
        (1.0, -5.0, "its 'num-examples' is -5"),
    ],
)
@pytest.mark.parametrize("strategy", [FedAvg(), FedMedian(), Krum()])
def test_a_broken_reply_becomes_a_failure_that_says_why(value, weight, cause, strategy):
    sent = [reply(1), reply(2, value, weight), reply(3)]
    got = sound_replies(sent, strategy)
    assert (got[0], got[2]) == (sent[0], sent[2])
    assert got[1].has_error() and cause in got[1].error.reason
    assert got[1].metadata.src_node_id == 2
    with pytest.raises(UnsoundRepliesError, match=rf"no reply of this round can be aggregated: node 2: {cause}"):
        sound_replies([sent[1]], strategy)


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_replies_without_any_weight_are_refused_and_some_with_none_are_not(kind):
    none = [reply(node, weight=0.0, kind=kind) for node in (1, 2)]
    failed = make_message(reply(3).metadata, error=Error(0, "of its own"))
    with pytest.raises(UnsoundRepliesError, match="all 2 replies of this round report 'num-examples' 0"):
        sound_replies([*none, failed], FedAvg())
    some = [*none, reply(4, weight=3.0, kind=kind), failed]
    assert sound_replies(some, FedAvg()) == some
    assert sound_replies([failed], FedAvg()) == [failed]  # the strategy skips the round, as on Flower's engine


def test_who_is_no_strategy_gets_what_there_is_and_metrics_may_be_nan():
    broken = [reply(1, math.nan), reply(2, weight=0.0)]
    assert sound_replies(broken, None) == broken
    evaluated = reply(3, kind="evaluate")
    evaluated.content["metrics"]["loss"] = math.nan
    assert sound_replies([evaluated], FedAvg()) == [evaluated]
