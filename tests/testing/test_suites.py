"""Suites find what is wrong: each is given entries with one fault, and says which rule it breaks."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from fedray.config import EvaluationConfig
from fedray.evaluation.destruction import Destruction, add_noise
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.extractors.base import hash_weights
from fedray.evaluation.extractors.one_layer import OneLayer
from fedray.evaluation.metrics import Metric
from fedray.testing import (
    DestructionSuite,
    ExtractorSuite,
    MetricSuite,
    Suite,
)


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


def backwards(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.arange(len(labels))[::-1]


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
    "opposite order": (
        Destruction(lambda tiles, labels, rng: tiles[::-1], "an order", order=backwards, opposite=add_noise),
        "a destruction with an order has no opposite",
    ),
    "unnamed": (replace(GOOD, unseen=""), "unseen must say what a score misses"),
    "order": (replace(GOOD, order=lambda labels, rng: rng.permutation(len(labels))), "apply() must be tiles[order]"),
    "same way": (replace(GOOD, opposite=add_noise), "must go the other way"),
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
