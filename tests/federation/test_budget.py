"""The steps that a budget foretells are those that the rounds report, digit for digit."""

import numpy as np
import pytest

from fedray.data import Tile, write_store
from fedray.federation import client_app
from fedray.federation.budget import step_budget, steps_in_a_row
from fedray.tasks.gan import GanSteps
from fedray.testing import LocalGrid
from tests.support.federation import first_state, rounds_of


@pytest.fixture(scope="module")
def uneven_store(tmp_path_factory):
    """44 training tiles of three clients: 33, 10 and 1; one of them is left alone in its batch, or alone at all."""
    random, clients = np.random.default_rng(0), ["a"] * 33 + ["b"] * 10 + ["c"]
    tiles = [
        Tile(random.integers(0, 256, (16, 16, 3), np.uint8), number % 2, 0, f"g{number}", split, f"{split} {number}",
             client=clients[number] if split == "train" else "a")
        for split in ("train", "test") for number in range(44 if split == "train" else 20)
    ]  # fmt: skip
    return write_store(tmp_path_factory.mktemp("uneven") / "store", iter(tiles), label_names=["dark", "bright"])


@pytest.fixture
def no_arithmetic(monkeypatch):
    """Steps that cost nothing: only their number counts here."""
    import torch

    def step(name):
        terms = {"discriminator": ("loss", "wasserstein", "gradient-penalty"), "generator": ("loss",)}[name]
        return lambda self, *batch: dict.fromkeys(terms, torch.zeros(()))

    for name in ("discriminator", "generator"):
        monkeypatch.setattr(GanSteps, name, step(name))


FEW = {"federation__num_clients": 3, "federation__num_rounds": 4}
CASES = {
    "as they are": {},
    "equal shares": {"partition__scheme": "iid"},
    "shorter than n_critic": {"gan__n_critic": 7},
    "a step every round": {"gan__n_critic": 1, "federation__local_steps": 1},
    "local steps": {"federation__local_steps": 5, "gan__n_critic": 3},
    "epochs": {"federation__local_epochs": 3, "gan__n_critic": 4},
    "its own n_critic": {"gan__n_critic": None},
    "some drawn": {"federation__client_fraction": 0.5, "seed": 3, "gan__n_critic": 3},
    "one drawn": {"federation__client_fraction": 0.01, "gan__n_critic": 3},
    "generator alone": {"federation__aggregate": "generator"},
    "discriminator alone": {"federation__aggregate": "discriminator", "federation__client_fraction": 0.7},
    "centralised": {"federation__mode": "centralised", "gan__n_critic": 4},
    "one batch short of two tiles": {"gan__batch_size": 16},
    "two tiles more": {"gan__batch_size": 31},
    "a batch for all": {"gan__batch_size": 64, "gan__n_critic": 3},
}


@pytest.mark.parametrize("case", CASES)
def test_the_generators_steps_are_those_that_rounds_report(small_config, uneven_store, no_arithmetic, case):
    config = small_config(
        **{**FEW, "data__store": str(uneven_store.path), "partition__scheme": "client", **CASES[case]}
    ).resolved()
    check(config)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"federation__local_steps": 5},
        {"federation__local_steps": 1, "gan__n_critic": 4, "federation__num_rounds": 2},
        {"federation__local_epochs": 2, "gan__n_critic": 1},
    ],
)
def test_md_gan_counts_the_servers_steps(small_config, changes):
    check(small_config(**{**FEW, "federation__mode": "md-gan", **changes}).resolved())


def check(config):
    budget, grid = step_budget(config), LocalGrid(client_app, config.num_clients)
    told = [report.counts for report in rounds_of(config, grid, first_state(config))]
    steps = [counts["generator-steps"] for counts in told]
    assert len(steps) == config.federation.num_rounds
    assert budget.total == sum(steps)
    assert budget.per_round == (min(steps), max(steps))
    if config.federation.client_fraction == 1:
        assert {counts["discriminator-steps"] for counts in told} == {budget.round_steps.sum()}
        assert {counts["num-examples"] for counts in told} == {budget.tiles.sum()}
        if config.federation.mode != "md-gan":
            assert budget.in_a_row.sum() == sum(steps)


def test_averages_carry_a_generator_on_and_private_ones_wait(small_config):
    drawn = {"federation__num_rounds": 10, "federation__client_fraction": 0.5, "gan__n_critic": 1}
    config, alone = small_config(**drawn), small_config(**drawn, federation__aggregate="discriminator")
    tiles = np.array([10, 33])
    assert steps_in_a_row(config, tiles).tolist() == [20, 40]  # batches of 8, the last of 33 tiles in one of 9
    assert steps_in_a_row(alone, tiles).tolist() == [10, 20]


@pytest.mark.parametrize("fraction", [1.0, 0.3])
def test_a_run_of_any_length_is_counted_at_once(small_config, fraction):
    config = small_config(federation__num_rounds=10**9, federation__client_fraction=fraction).resolved()
    budget = step_budget(config)
    drawn = max(1, round(2 * fraction))
    each = budget.round_steps[0] / 2
    assert budget.total == pytest.approx(10**9 * each * drawn, rel=1e-3)
