"""Every message of every round, strategy and task: it holds what is declared, and nothing of a site's own beside it."""

import re
from pathlib import Path

import numpy as np
import pytest

from fedray.config import STRATEGIES
from fedray.config.modes import MODES
from fedray.config.tasks import TASKS
from fedray.data import Tile, census_of, partitioned_store, write_store
from fedray.federation import (
    AgreedGrid,
    ask_sites,
    client_app,
    federate,
    initial_state,
    logits_from_clients,
    make_strategy,
    sample_from_clients,
)
from fedray.federation.messages import from_record
from fedray.federation.rounds import ROUNDS, round_of
from fedray.federation.sites import MESSAGES as OF_SITES
from fedray.federation.strategies import algorithm_of, client_half
from fedray.federation.traffic import as_table
from fedray.tasks import shared_parts, task_of
from fedray.testing import LocalGrid, small_experiment
from tests.support.recording import RecordingGrid, tiles_in, words_in
from tests.support.sites import site_grid
from tests.support.small import random_tiles

PAGE = Path(__file__).parents[2] / "docs" / "privacy.md"
NEEDED = {
    "scaffold": {"gan__optimizer": "sgd", "federation__weighting": "uniform"},
    "fednova": {"gan__optimizer": "sgd"},
    "fediic": {"task": "classification"},
    "trimmed-mean": {"federation__num_clients": 5},
    "krum": {"federation__num_clients": 5},
    "fedmedian": {"federation__num_clients": 5},
}
"""What goes with a strategy alone."""
PRIVATE = {"gan__generator": "residual", "federation__weighting": "uniform", "privacy__noise_multiplier": 1.0}
HANDED = {"task": "classification", "classification__tiles": "both"}
"""What goes with a mode that hands out tiles; of what, `experiment` says."""
VARIANTS = {
    **{name: {"federation__strategy": name, **NEEDED.get(name, {})} for name in STRATEGIES},
    **{mode: {"federation__mode": mode} for mode in MODES if mode not in ("federated", "fedssg")},
    **{f"task {task}": {"task": task} for task in TASKS if task != "gan"},
    "classifiers of one's own": {"task": "classification", "federation__strategy": "local-only"},
    **{f"shared {part}": {"federation__aggregate": part} for part in ("generator", "discriminator")},
    "differential privacy": PRIVATE,
    "sites": {"data__store": "sites"},
    "fedssg": {"federation__mode": "fedssg", "partition__scheme": "majority-label", **HANDED},
    "sites, fedssg": {"data__store": "sites", "federation__mode": "fedssg", **HANDED},
    "sites, md-gan": {"data__store": "sites", "federation__mode": "md-gan"},
    "sites, discriminators": {"data__store": "sites", "federation__aggregate": "discriminator"},
}
"""Everything that changes what is sent: a name that is registered is here without another line."""
SECRETS = ("patient-of-", "slide-of-")


@pytest.fixture(scope="module")
def named_store(tmp_path_factory):
    """Tiles whose groups and sources no message may name."""
    tiles = (
        Tile(tile.image, tile.label, 0, f"patient-of-{number}", tile.split, f"slide-of-{number}.png")
        for number, tile in enumerate(random_tiles())
    )
    return write_store(tmp_path_factory.mktemp("named") / "folder-of-the-site", tiles, label_names=["dark", "bright"])


@pytest.fixture(scope="module")
def supply(tmp_path_factory):
    """Synthetic tiles for the modes that hand some out."""
    tiles = (tile._replace(split="train") for tile in random_tiles(seed=1))
    return write_store(tmp_path_factory.mktemp("named") / "supply", tiles, label_names=["dark", "bright"])


def experiment(variant, store, supply):
    """Two rounds of one step."""
    general = {"federation__num_rounds": 2, "federation__local_steps": 1, "data__store": str(store.path)}
    changes = {**general, **VARIANTS[variant]}
    if "classification__tiles" in changes:
        changes["classification__synthetic"] = str(supply.path)
    return small_experiment({name.replace("__", "."): value for name, value in changes.items()})


@pytest.fixture(scope="module")
def recorded(named_store, supply):
    """Return the grid of a variant after its rounds; each is run once."""
    done = {}

    def record(variant):
        if variant not in done:
            config = experiment(variant, named_store, supply)
            done[variant] = (config, _run(config, named_store))
        return done[variant]

    return record


def _run(config, store):
    on_sites = config.data.store == "sites"
    grid = RecordingGrid(site_grid([store.path, store.path]) if on_sites else LocalGrid(client_app, config.num_clients))
    census = ask_sites(grid, config) if on_sites else census_of(config)
    told = AgreedGrid(grid, census) if on_sites else grid
    state = initial_state(config, census.shape)
    assert list(federate(make_strategy(config, census.shape), told, state, config, census))
    if config.federation.aggregate == "discriminator" or (config.federation.personal and config.task == "gan"):
        sample_from_clients(told, config, state, np.array([0, 1, 0]), np.array([0, 0, 0]))
    elif config.federation.personal:
        logits_from_clients(told, config, state, {"store": store.indices("test")})
    return grid


def declared(config):
    beside = OF_SITES if config.data.store == "sites" else ()
    return (*round_of(config).MESSAGES, *client_half(config).MESSAGES, *beside)


def is_of(part, entry, config):
    return (
        part.sender == entry.sender
        and re.fullmatch(part.message, entry.message) is not None
        and part.record == entry.record
        and part.holds(config, entry.name)
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_sent_that_is_not_declared(variant, recorded):
    config, grid = recorded(variant)
    parts = declared(config)
    strange = [entry[:4] for entry in grid.kinds if not any(is_of(part, entry, config) for part in parts)]
    assert grid.kinds and not strange


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_message_holds_a_real_tile_a_name_of_one_or_a_moment(variant, recorded, named_store):
    _, grid = recorded(variant)
    real = named_store.tiles(slice(None))
    assert not [entry[:4] for entry in grid.entries if tiles_in(entry.value, real)]
    from_sites = [entry for entry in grid.entries if entry.sender == "site"]
    assert not words_in(grid.entries, SECRETS)
    assert not words_in(from_sites, [str(named_store.path), named_store.path.name])
    moments = {
        value.tobytes()
        for context in grid.contexts.values()
        for value in from_record(context.state.array_records.get("optimizer", {})).values()
        if value.size > 4 and value.any()
    }
    assert not [e[:4] for e in grid.entries if isinstance(e.value, np.ndarray) and e.value.tobytes() in moments]


@pytest.mark.parametrize("variant", ["fedavg", "md-gan", "task classification"])
def test_the_moments_looked_for_are_there(variant, recorded):
    """Else the test above could not fail."""
    _, grid = recorded(variant)
    for context in grid.contexts.values():
        assert any(value.any() for value in from_record(context.state.array_records["optimizer"]).values())


def test_real_tiles_are_found_where_they_are(named_store):
    real = named_store.tiles(slice(0, 4))
    scaled = np.moveaxis(real.astype(np.float32) / 127.5 - 1, -1, 1)
    for value in (real, scaled, real[2:3, ::-1], np.rot90(scaled, 1, (2, 3)), scaled[0]):
        assert tiles_in(value, real)
    assert not tiles_in(255 - real, real) and not tiles_in(real.astype(np.float32).ravel(), real)


@pytest.mark.parametrize("mode", ROUNDS)
def test_all_that_is_declared_is_sent(mode, recorded):
    """A page that names what never travels is as wrong as one that leaves something out."""
    unseen = dict.fromkeys(ROUNDS[mode].MESSAGES)
    of_sites = dict.fromkeys(OF_SITES)
    for variant, changes in VARIANTS.items():
        # One client with all tiles sends what several do.
        if changes.get("federation__mode", "federated") == ("federated" if mode == "centralised" else mode):
            config, grid = recorded(variant)
            for parts in (unseen, of_sites):
                for part in [part for part in parts if any(is_of(part, entry, config) for entry in grid.kinds)]:
                    del parts[part]
    assert not unseen and not of_sites


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_that_a_strategy_declares_is_sent(strategy, recorded):
    config, grid = recorded(strategy)
    for part in client_half(config).MESSAGES:
        assert any(is_of(part, entry, config) for entry in grid.kinds), part


def test_networks_travel_once_each_way_and_batches_as_said(recorded):
    config, grid = recorded("fedavg")
    learner = task_of(config).fresh(config, partitioned_store(config).shape(), "cpu")
    size = sum(array.nbytes for array in learner.arrays(shared_parts(config)).values())
    for sender in ("server", "site"):
        sent = [e.value.nbytes for e in grid.entries if e.sender == sender and e.record == "arrays"]
        assert sum(sent) == size * config.num_clients * config.federation.num_rounds
    config, grid = recorded("md-gan")
    pixels = config.gan.batch_size * 16 * 16 * 3 * 4
    judged = [e.value.nbytes for e in grid.entries if e.name in ("judge.tiles", "train-0.tiles", "feedback")]
    assert judged and set(judged) == {pixels}
    assert {e.name for e in grid.entries if e.name.startswith("train-")} == {
        f"train-{number}.{part}" for number in range(config.gan.n_critic) for part in ("tiles", "labels", "domains")
    }


def test_the_configuration_is_as_large_as_said(recorded):
    told = {
        len(e.value) for variant in ("fedavg", "md-gan") for e in recorded(variant)[1].entries if e.name == "experiment"
    }
    assert told and all(2000 < size < 5000 for size in told)


@pytest.mark.parametrize("mode", ROUNDS)
def test_the_page_has_the_table_of_each_mode(mode):
    assert as_table(ROUNDS[mode].MESSAGES) in PAGE.read_text(), as_table(ROUNDS[mode].MESSAGES)


def test_the_page_has_what_strategies_and_sites_add():
    halves = {name: algorithm_of(name).client.MESSAGES for name in STRATEGIES}
    for name, parts in {**halves, "sites": OF_SITES}.items():
        assert not parts or as_table(parts) in PAGE.read_text(), f"{name}:\n{as_table(parts)}"
