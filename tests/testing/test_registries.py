"""FedRay's own contract tests follow the registries: what is registered is tested, without another line."""

import contextlib
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from flwr.serverapp.strategy import FedAvg

from fedray.evaluation import metrics
from fedray.evaluation.destruction import DESTRUCTIONS, Destruction
from fedray.evaluation.extractors import EXTRACTORS
from fedray.evaluation.metrics.distances import Fid
from fedray.federation.strategies import fedavg
from fedray.federation.strategies.base import COMMON
from fedray.reports import REPORTS, Finding, Report
from fedray.tasks.gan import OBJECTIVES
from fedray.tasks.gan.objectives import CGan

TESTS = Path(__file__).parents[1]


class Outcomes:
    """A plugin that keeps what became of each test."""

    def __init__(self):
        self.passed, self.failed = [], {}

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed[report.nodeid.rpartition("::")[2]] = str(report.longrepr)
        elif report.when == "call" and report.passed:
            self.passed.append(report.nodeid)


@pytest.fixture
def run(monkeypatch):
    """Return ``run(file, name)``: a contract test of ours, collected anew, of the entry of a name alone."""

    def run(file, name):
        monkeypatch.delitem(sys.modules, ".".join(("tests", *Path(file).with_suffix("").parts)), raising=False)
        outcomes = Outcomes()
        options = ["-k", name, "--noconftest", "-p", "no:cacheprovider", "-p", "no:timeout", "-p", "no:xdist"]
        with contextlib.redirect_stdout(io.StringIO()):
            pytest.main([str(TESTS / file), *options], plugins=[outcomes])
        return outcomes

    return run


class MyFid(Fid):
    """Another name for what is right."""

    kinds: ClassVar = {"my-fid": "min"}


class Backwards(MyFid):
    """A good metric but for its sign."""

    kinds: ClassVar = {"my-fid": "max"}


class Unnamed(CGan):
    """A loss that is not announced."""

    def generator_losses(self, fake, condition):
        return {**super().generator_losses(fake, condition), "surprise": fake.scores.mean()}


class Latest(FedAvg):
    """Takes whoever answers last."""

    def aggregate_train(self, server_round, replies):
        return super().aggregate_train(server_round, list(replies)[-1:])


def too_wide(store, config):
    extractor = EXTRACTORS["efficientnet-lite0"](store, config)
    return replace(extractor, width=extractor.width + 1)


def upside_down(tiles, labels, rng):
    return tiles[:, ::-1].copy()


class Shouting(Report):
    """Finds something to say against real tiles too."""

    title, question = "Shouting", "Is anything wrong?"

    def make(self, judged):
        return Finding("All is wrong!", True, {"all": pd.DataFrame({"wrong": [1]})})


def test_what_is_right_passes_the_moment_it_is_registered(run, monkeypatch):
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, MyFid))
    monkeypatch.setitem(DESTRUCTIONS, "upside-down", Destruction(upside_down, "which side is up"))
    for file, name, num in (
        ("evaluation/metrics/test_contract.py", "MyFid", 8), ("evaluation/test_destruction.py", "upside-down", 4),
    ):  # fmt: skip
        found = run(file, name)
        assert len(found.passed) >= num and not found.failed


def test_what_is_wrong_fails_the_moment_it_is_registered(run, monkeypatch):
    """And says which rule it breaks. What the configuration names is put in the place of what has the name."""
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, Backwards))
    monkeypatch.setitem(DESTRUCTIONS, "idle", Destruction(lambda tiles, *_: tiles, "anything"))
    monkeypatch.setitem(EXTRACTORS, "too-wide", too_wide)
    monkeypatch.setitem(REPORTS, "shouting", Shouting())
    monkeypatch.setitem(OBJECTIVES, "cgan", Unnamed)
    monkeypatch.setattr(fedavg, "server", lambda config, make: Latest(**COMMON))
    for file, name, message in (
        ("evaluation/metrics/test_contract.py", "Backwards", "must score better than tiles farther away"),
        ("evaluation/test_destruction.py", "idle", "destroy them, or say why not"),
        ("evaluation/test_extractors.py", "too-wide and width", "must be (3, 249) as width says, but are (3, 248)"),
        ("tasks/gan/test_contract.py", "cgan-cnn and minimised", "must return ['loss'] as generator_terms says"),
        ("reports/test_contract.py", "shouting and alarm", "must raise no alarm: All is wrong!"),
        ("reports/test_contract.py", "shouting and shown", "must be one sentence, but is 'All is wrong!'"),
        ("federation/test_strategies.py", "TestStrategies and fedavg] and order", "results of replies in two orders"),
    ):
        assert message in "".join(run(file, name).failed.values())
