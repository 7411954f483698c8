"""The suite of strategies finds what plain averaging can do wrong with either half of it."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg

from fedray.federation.messages import from_record, to_record
from fedray.federation.strategies import ClientHalf
from fedray.federation.strategies.base import COMMON
from fedray.simulation import mergeable
from fedray.testing import (
    StrategySuite,
    small_experiment,
)


class Momentum(FedAvg):
    """Remembers what it does not tell."""

    def __init__(self, **common):
        super().__init__(**common)
        self.last = {}

    @mergeable
    def aggregate_train(self, server_round, replies):
        means, metrics = super().aggregate_train(server_round, replies)
        found = {name: means[name].numpy() for name in means}
        for name, value in found.items():
            means[name] = Array(np.asarray(value + 0.5 * (value - self.last.get(name, value))))
        self.last = found
        return means, metrics


class Last(FedAvg):
    """Takes the reply that came last."""

    def aggregate_train(self, server_round, replies):
        return super().aggregate_train(server_round, list(replies)[-1:])


class Hiding(FedAvg):
    """Makes a number of what is none."""

    def aggregate_train(self, server_round, replies):
        means, metrics = super().aggregate_train(server_round, replies)
        return ArrayRecord({name: Array(np.asarray(np.nan_to_num(means[name].numpy()))) for name in means}), metrics


class Beyond(FedAvg):
    """Steps beyond the mean, with statistics and counters too."""

    def configure_train(self, server_round, arrays, config, grid):
        self.before = from_record(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        means, metrics = super().aggregate_train(server_round, replies)
        gone = {name: 1.5 * means[name].numpy() - 0.5 * before for name, before in self.before.items()}
        return to_record(gone), metrics


class Scaled(FedAvg):
    """Goes somewhere where no client is."""

    def aggregate_train(self, server_round, replies):
        means, metrics = super().aggregate_train(server_round, replies)
        return ArrayRecord({name: Array(np.asarray(1.5 * means[name].numpy())) for name in means}), metrics


class Squared(FedAvg):
    """Weighs by the square of the weights."""

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        for reply in replies:
            metrics = reply.content.metric_records["metrics"]
            metrics["weight"] = metrics["weight"] ** 2
        return super().aggregate_train(server_round, replies)


class Losing(FedAvg):
    """Loses an array on the way."""

    def aggregate_train(self, server_round, replies):
        means, metrics = super().aggregate_train(server_round, replies)
        del means[next(iter(means))]
        return means, metrics


class LeavesHooks(ClientHalf):
    def begin(self, learner, told, kept):
        for network in learner.networks().values():
            network.register_forward_hook(lambda *_: None)
        return ()


class Freezes(ClientHalf):
    def begin(self, learner, told, kept):
        next(next(iter(learner.networks().values())).parameters()).requires_grad_(False)
        return ()


class Shifts(ClientHalf):
    def begin(self, learner, told, kept):
        learner.load({name: value * 0 for name, value in learner.arrays(list(learner.networks())).items()})
        return ()


class SendsViews(ClientHalf):
    def end(self, learner, steps):
        return {
            f"{part}.{name}": value.numpy(force=True)
            for part, network in learner.parts().items()
            for name, value in network.state_dict().items()
        }


class SendsHalf(ClientHalf):
    def end(self, learner, steps):
        return dict(list(super().end(learner, steps).items())[::2])


class KeepsUnsaid(ClientHalf):
    def own(self, learner):
        return list(learner.arrays(list(learner.networks())))


class DividesBySteps(ClientHalf):
    def end(self, learner, steps):
        with np.errstate(all="ignore"):
            return {
                name: (value / np.float32(steps[name.partition(".")[0].removesuffix("_ema")])).astype(value.dtype)
                for name, value in super().end(learner, steps).items()
            }


class Halves:
    """A strategy, as a module of one is."""

    def __init__(self, server=FedAvg, client=ClientHalf):
        self.server = lambda config, make: server(**COMMON)
        self.client = client


ORDER = StrategySuite.test_the_order_of_clients_has_no_meaning
STATE = StrategySuite.test_what_the_server_remembers_is_in_its_arrays
NAN = StrategySuite.test_a_reply_that_is_not_finite_shows_or_is_left_out
AGREE = StrategySuite.test_where_all_clients_agree_the_server_follows
STILL = StrategySuite.test_where_no_client_moves_nothing_moves
NAMES = StrategySuite.test_aggregated_arrays_have_the_names_and_shapes_of_those_sent
BEHIND = StrategySuite.test_a_pass_leaves_nothing_behind_in_the_networks
BEGIN = StrategySuite.test_a_client_begins_with_what_the_server_sent
TRAVEL = StrategySuite.test_what_travels_and_what_stays_are_copies_with_the_networks_names
OWN = StrategySuite.test_what_is_a_clients_own_makes_the_strategy_a_personal_one
WEIGHT = StrategySuite.test_a_weight_is_a_number_of_clients_or_nothing
STRATEGY_FAULTS = [
    (Halves(Momentum), STATE, "two rounds of one strategy, and of one made anew each round"),
    (Halves(Last), ORDER, "results of replies in two orders: must be the same"),
    (Halves(Hiding), NAN, "results with a reply that has a NaN, and without that client: must be the same"),
    (Halves(Beyond), AGREE, "what no optimiser trains, where all clients agree: must be the same"),
    (Halves(Scaled), STILL, "arrays that no client moved: must be the same"),
    (Halves(Squared), WEIGHT, "results of a client of weight 3, and of three such clients: must be the same"),
    (Halves(Losing), NAMES, "aggregated arrays must have the names of those sent; missing: ['"),
    (Halves(client=LeavesHooks), BEHIND, "hooks of PyTorch, frozen parameters or new layers are left in the networks"),
    (Halves(client=Freezes), BEHIND, "frozen parameters or new layers are left in the networks"),
    (Halves(client=Shifts), BEGIN, "networks before and after begin(): must be the same"),
    (Halves(client=SendsViews), TRAVEL, "what end() returned, after more training (return copies): must be the same"),
    (Halves(client=SendsHalf), TRAVEL, "end() must return all shared arrays, and others under EXTRA"),
    (Halves(client=KeepsUnsaid), OWN, "so `personal` must be True in the strategy's line of STRATEGIES"),
    (Halves(client=DividesBySteps), TRAVEL, "end() after 0 steps has"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "test", "message"), STRATEGY_FAULTS, ids=lambda given: getattr(given, "__name__", "")
)
def test_a_faulty_strategy_is_told_what_it_breaks(strategy: Halves, test, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        test(StrategySuite(), strategy, small_experiment())
    assert message in str(caught.value)


def test_a_strategy_that_was_edited_is_tested_anew() -> None:
    """Its module is the same one, as after ``importlib.reload``; what the halves before gave is not."""
    strategy, config = Halves(), small_experiment()
    ORDER(StrategySuite(), strategy, config)
    strategy.server = Halves(Beyond).server
    ORDER(StrategySuite(), strategy, config)
