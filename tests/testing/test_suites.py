"""Suites find what is wrong: each is given entries with one fault, and says which rule it breaks."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg

from fedray.config import EvaluationConfig
from fedray.evaluation.destruction import Destruction, add_noise
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.extractors.base import hash_weights
from fedray.evaluation.extractors.one_layer import OneLayer
from fedray.evaluation.metrics import Metric
from fedray.federation.messages import from_record, to_record
from fedray.federation.strategies import ClientHalf
from fedray.federation.strategies.base import COMMON
from fedray.simulation import mergeable
from fedray.tasks.classification import task as classification
from fedray.testing import (
    DestructionSuite,
    ExtractorSuite,
    MetricSuite,
    StrategySuite,
    Suite,
    TaskSuite,
    small_experiment,
)

SMALL_CLASSIFIER = small_experiment({"task": "classification"})


def faults_of(suite: type[Suite], *given: object) -> str:
    with pytest.raises(AssertionError) as caught:
        suite.check(*given)
    return str(caught.value)


def test_check_runs_every_test_and_tells_all_that_failed() -> None:
    class Numbers(Suite):
        def test_small(self, number: int) -> None:
            assert number < 10, f"must be below 10, but is {number}"

        def test_even(self, number: int) -> None:
            assert number % 2 == 0, f"must be even, but is {number}"

        def test_inverse(self, number: int) -> None:
            assert 1 / number

    Numbers.check(2)
    told = faults_of(Numbers, 11)
    assert told.startswith("2 of 3 tests failed:\ntest_even: AssertionError: must be even, but is 11\n")
    assert "\ntest_small: AssertionError: must be below 10, but is 11" in told
    assert "test_inverse: ZeroDivisionError: " in faults_of(Numbers, 0)


# Metrics.


class Distance(Metric):
    """Between the means: a correct metric."""

    kinds: ClassVar = {"distance": "min"}
    min_tiles, min_label_tiles = 1, 1

    def measure(self, real, fake):
        return (float(np.linalg.norm(real.mean - fake.mean)),)


class OfTheFirst(Distance):
    def measure(self, real, fake):
        return (float(np.abs(real.features[0] - fake.features[0]).sum()),)


class Upwards(Distance):
    kinds: ClassVar = {"distance": "max"}


class Twice(Distance):
    kinds: ClassVar = {"distance": "min", "two": "min"}


class OfNothing(Distance):
    def measure(self, real, fake):
        return (float(np.sum((real.mean - fake.mean) ** 2) / np.ptp(fake.features) ** 2),)


class InNumpy(Distance):
    def values(self, real, fake):
        return {name: np.float32(value) for name, value in super().values(real, fake).items()}


class Slashed(Distance):
    kinds: ClassVar = {"a/distance": "min"}


class Unheld(Distance):
    kinds: ClassVar = {"distance": "min", "error": None}

    def measure(self, real, fake):
        return (*super().measure(real, fake), 0.0)


class Spread(Distance):
    """Of the generated tiles, whatever the real ones are: the fewer, the better."""

    def measure(self, real, fake):
        return (float(np.sum(fake.features.std(0))),)


METRIC_FAULTS = [
    (OfTheFirst, "distance/some/80 of tiles in two orders must agree"),
    (Upwards, "has mode 'max', so tiles nearer to the real ones must score better than tiles farther away"),
    (Twice, "IndexError"),
    (OfNothing, "of features that are all 0 must be a finite number, but is nan"),
    (InNumpy, "must be a float, but is a float32"),
    (Slashed, "kind 'a/distance' must be a word without '/'"),
    (Unheld, "['error'] have mode None, but are the ends of no score's interval"),
    (Spread, "the real tiles themselves must score better than 8 of the real ones repeated"),
]


@pytest.mark.parametrize(("metric", "message"), METRIC_FAULTS, ids=lambda given: getattr(given, "__name__", ""))
def test_a_faulty_metric_is_told_what_it_breaks(metric: type[Metric], message: str) -> None:
    with np.errstate(all="ignore"):
        assert message in faults_of(MetricSuite, metric)


def test_a_correct_metric_passes() -> None:
    MetricSuite.check(Distance)


# Destructions.

GOOD = Destruction(add_noise, "noise")
DESTRUCTION_FAULTS = {
    "in place": (
        Destruction(lambda tiles, labels, rng: np.bitwise_xor(tiles, 1, out=tiles), "a bit"), "must stay as they were"
    ),
    "nothing": (Destruction(lambda tiles, labels, rng: tiles.copy(), "nothing"), "came back as they were"),
    "fewer": (Destruction(lambda tiles, labels, rng: tiles[1:], "one"), "must keep number and shape"),
    "float": (Destruction(lambda tiles, labels, rng: tiles / 255, "scale"), "must come back as uint8, but are float64"),
    "global": (
        Destruction(lambda tiles, labels, rng: add_noise(tiles, labels, np.random), "noise"),
        "draw from the rng that is given",
    ),
    "never": (replace(GOOD, why_not=lambda shape, labels: "no"), "has something against every shape"),
    "speechless": (replace(GOOD, why_not=lambda shape, labels: "" if shape[2] == 5 else None), "is '': say why"),
    "unnamed": (replace(GOOD, unseen=""), "unseen must say what a score misses"),
    "order": (replace(GOOD, order=lambda labels, rng: rng.permutation(len(labels))), "apply() must be tiles[order]"),
    "draws": (replace(GOOD, num_choices=3), "only a destruction with an order is drawn several times"),
}  # fmt: skip


@pytest.mark.parametrize("fault", DESTRUCTION_FAULTS)
def test_a_faulty_destruction_is_told_what_it_breaks(fault: str) -> None:
    destruction, message = DESTRUCTION_FAULTS[fault]
    assert message in faults_of(DestructionSuite, destruction)


# Extractors: the mean colour of each of four fields of a tile, and what one can do wrong with that.


class Fields(OneLayer):
    WIDTH = 12

    def __init__(self, width: int = 12) -> None:
        super().__init__("fields", [str(width)])
        self.WIDTH = width
        self.register_buffer("scale", torch.ones(12))
        self.eval()

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        pooled = torch.nn.functional.adaptive_avg_pool2d(tiles.float() / 255, 2).flatten(1)
        return (pooled * self.scale,)


class Centred(Fields):
    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        (found,) = super().forward(tiles)
        return (found - found.mean(0),)


class Counting(Fields):
    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        self.scale.add_(0.01)
        return super().forward(tiles)


class Blind(Fields):
    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        return (0 * super().forward(tiles)[0],)


def load(make=Fields, *, width=12, draw=False, name="fields", train=False):
    def loaded(store, config):
        network = make()
        if draw:
            network.scale.copy_(torch.rand(12))
        return Extractor(name, network.train(train), width, hash_weights(network))

    return loaded


EXTRACTOR_FAULTS = {
    "width": (load(width=13), "must be (3, 13) as width says, but are (3, 12)"),
    "name": (load(name="a/b"), "the name is a part of scores' names, which '/' ends, but is 'a/b'"),
    "batch": (load(Centred), "features of a tile alone and in a batch must agree to rounding"),
    "state": (load(Counting), "computing features must not change weights or buffers"),
    "blind": (load(Blind), "features of different tiles must differ"),
    "mode": (load(train=True), "the network must be in evaluation mode"),
    "random": (load(draw=True), "loading must leave PyTorch's global random state as it was"),
    "made anew": (load(draw=True), "features of an extractor that was made twice must agree"),
}


class InThisProcess(ExtractorSuite):
    test_another_process_sees_the_same = None  # these functions are in no module that it could import


@pytest.mark.parametrize("fault", EXTRACTOR_FAULTS)
def test_a_faulty_extractor_is_told_what_it_breaks(fault: str) -> None:
    given, message = EXTRACTOR_FAULTS[fault]
    assert message in faults_of(InThisProcess, given, EvaluationConfig())


def test_a_correct_extractor_passes() -> None:
    InThisProcess.check(load(), EvaluationConfig())


# Strategies: plain averaging, and what one can do wrong with either half of it.


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
    (Halves(client=DividesBySteps), TRAVEL, "end() after 0 steps has"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "test", "message"), STRATEGY_FAULTS, ids=lambda given: getattr(given, "__name__", "")
)
def test_a_faulty_strategy_is_told_what_it_breaks(strategy: Halves, test, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        test(StrategySuite(), strategy, small_experiment())
    assert message in str(caught.value)


# Tasks: that of classifiers, with one answer changed.


def task(**changes):
    """Return the task with other functions in the place of its own; each is given its own one first."""
    own = vars(classification)
    return SimpleNamespace(**{**own, **{name: partial(change, own[name]) for name, change in changes.items()}})


def draw_first(own, *given, **options):
    torch.rand(1)
    return own(*given, **options)


def of_one_seed(own, config, *given, **options):
    return own(config.model_copy(update={"seed": 0}), *given, **options)


def used(own, *given, **options):
    return classification.holding(*given, arrays={})


def one_step_less(own, config, learner, optimizers, tiles, a_pass):
    return own(config, learner, optimizers, tiles, a_pass._replace(num_steps=a_pass.num_steps - 1))


def without_hooks(own, config, learner, optimizers, tiles, a_pass):
    return own(config, learner, optimizers, tiles, a_pass._replace(hooks=()))


def always_the_same(own, config, learner, optimizers, tiles, a_pass):
    return own(config, learner, optimizers, tiles, a_pass._replace(seed=0))


def forgetful(own, learner):
    optimizers = own(learner)
    optimizers.load = lambda arrays: None
    return optimizers


def hide(own, *given):
    report = own(*given)
    learner = given[1]
    learner.load({name: np.nan_to_num(value) for name, value in learner.arrays(list(learner.parts())).items()})
    return replace(report, losses=dict.fromkeys(report.losses, 0.0))


def zeros(own, config, shape, arrays):
    return own(config, shape, {name: np.nan_to_num(value) for name, value in arrays.items()})


TASK_FAULTS = [
    ("test_the_same_seed_gives_the_same_networks", task(make=draw_first), "make() must fork PyTorch's global random"),
    ("test_the_same_seed_gives_the_same_networks", task(make=of_one_seed), "networks of two seeds must differ"),
    ("test_shared_and_private_parts_are_all_there_is_and_have_nothing_in_common",
     task(private=lambda own, config: ("classifier",)), "['classifier'] cannot travel and stay"),
    ("test_fresh_is_what_is_made_however_it_was_used", task(fresh=used), "what fresh() and make() return must be the"),
    ("test_a_pass_reports_what_it_did", task(train=one_step_less), "a pass of 2 steps reports {'classifier': 1}"),
    ("test_a_pass_hangs_on_its_seed_alone", task(train=draw_first), "a pass must fork PyTorch's global random state"),
    ("test_a_pass_hangs_on_its_seed_alone", task(train=always_the_same), "passes of two seeds must differ"),
    ("test_a_pass_goes_on_from_arrays_alone", task(optimizers=forgetful), "and one from a checkpoint must be the same"),
    ("test_steps_are_whole_epochs_or_as_many_as_are_asked_for",
     task(steps=lambda own, config, num: num // 4), "3 epochs of 8 tiles in batches of 4 are 6 steps, but"),
    ("test_a_hook_is_shown_every_network_before_its_step", task(train=without_hooks), "hooks are shown [] of"),
    ("test_a_hooks_term_is_added_to_a_loss", task(train=without_hooks), "hooks must be asked for a term"),
    ("test_what_diverges_shows", task(train=hide), "must show in the losses or the arrays of a pass"),
    ("test_its_ability_is_that_of_its_learner",
     task(holding=lambda own, *given: own(*given[:3], {})), "does judged() name all that counts?"),
    ("test_what_is_exported_computes_without_fedray", task(exported=zeros), "exported() must refuse a NaN in"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "faulty", "message"), TASK_FAULTS)
def test_a_faulty_task_is_told_what_it_breaks(name: str, faulty, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        getattr(TaskSuite(), name)(faulty, SMALL_CLASSIFIER)
    assert message in str(caught.value)
