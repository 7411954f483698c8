"""Distributed synthetic samples: against rounds of averaging, a pass by hand, and sites without a synthetic tile."""

import math

import numpy as np
import pytest
from flwr.clientapp import ClientApp

from fedray.config import STRATEGIES
from fedray.data import AllocationError, LabelledTiles, StoreError, TileShape, TileStore, partitioned_store, write_store
from fedray.data.distribution import handed_out, local_plan, local_supply
from fedray.experiment.engines.base import RoundResult
from fedray.federation import (
    Account,
    AgreedGrid,
    FederationError,
    ask_sites,
    client_app,
    federate,
    initial_state,
    load_checkpoint,
    make_strategy,
    save_checkpoint,
    shared_arrays,
)
from fedray.federation.messages import from_record
from fedray.federation.rounds.fedssg import noised
from fedray.federation.strategies import fediic
from fedray.learning.passes import batch_bounds
from fedray.randomness import derive_seed
from fedray.tasks.classification import Classifier, ClassifierOptimizer, local_pass
from fedray.testing import LocalGrid
from tests.support.classifiers import experiment
from tests.support.federation import assert_close, first_state, rounds_of, run, run_interrupted
from tests.support.sites import site_grid
from tests.support.small import random_tiles

SKEWED = {"partition__scheme": "majority-label", "partition__majority_share": 0.8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """60 tiles; its labels stand in another order than the real store's."""
    tiles = (tile._replace(label=1 - tile.label, split="train") for tile in random_tiles(60, seed=1))
    return write_store(tmp_path_factory.mktemp("stores") / "made", tiles, label_names=["bright", "dark"])


def fedssg(store, made, **changes):
    named = {"federation__mode": "fedssg", "classification__tiles": "both", "classification__synthetic": str(made.path)}
    return experiment(store, **{**SKEWED, **named, **changes})


def handed_to(grid):
    return [from_record(context.state.array_records["handed"]) for context in grid.contexts.values()]


@pytest.mark.parametrize("changes", [{}, {"federation__strategy": "fedprox", "federation__local_steps": 3}])
def test_with_policy_none_it_is_the_baseline(small_store, made, changes):
    state, reports, grid = run(fedssg(small_store, made, classification__allocation="none", **changes))
    expected, baseline, _ = run(experiment(small_store, **SKEWED, **changes))
    assert_close(shared_arrays(state), shared_arrays(expected), 1e-6)
    assert [report.losses for report in reports] == [report.losses for report in baseline]
    assert all("handed" not in context.state for context in grid.contexts.values())


def test_a_round_is_the_mean_of_passes_over_own_tiles_and_handed_ones(small_store, made):
    config = fedssg(small_store, made, federation__num_rounds=1)
    state, (report,), grid = run(config)
    choices = handed_out(local_supply(config), local_plan(config), config.seed, 0)
    assert all(len(indices) for indices in choices)
    means = []
    for client, indices in enumerate(choices):
        own = partitioned_store(config).tiles(client)
        # The store's codes are the other way round.
        tiles = LabelledTiles(
            np.concatenate([own.tiles, made.tiles(indices)]),
            np.concatenate([own.labels, 1 - made.labels[indices]]),
            np.zeros(len(own.labels) + len(indices), np.int64),
        )
        counts = np.bincount(tiles.labels)
        assert counts[0] == counts[1], "'balance' balanced them"
        one = Classifier(config.classification, TileShape(16, 3, 2), config.seed)
        one.load(shared_arrays(first_state(config)))
        steps = len(batch_bounds(len(tiles.labels), 4))
        seed = derive_seed(0, "client", 1, client)
        local_pass(one, ClassifierOptimizer(one), tiles, num_steps=steps, steps_before=0, num_rounds=1, seed=seed)
        means.append((len(tiles.labels), one.arrays()))
        handed = handed_to(grid)[client]
        assert (handed["tiles"] == made.tiles(indices)).all()
    total = sum(size for size, _ in means)
    assert report.counts["num-examples"] == total
    expected = {name: sum(arrays[name] * (size / total) for size, arrays in means) for name in means[0][1]}
    assert_close(shared_arrays(state), expected, 1e-5)


def test_what_it_costs_is_measured_where_something_is_handed_out(small_store, made):
    config = fedssg(small_store, made, federation__num_rounds=4, classification__refresh_every=2)
    _, reports, _ = run(config)
    num = int(local_plan(config).sum())
    tile = 16 * 16 * 3 + 2 * 8  # its pixels, its label, its domain
    for report in reports:
        figures, due = RoundResult(report, None).metrics, report.round_index in (1, 3)
        assert figures["distribution/tiles"] == num * due
        assert figures["distribution/client-bytes"] == num * tile / 2 * due
        assert (figures["distribution/client-seconds"] > 0) == due
        assert (figures["round-seconds/distribution"] > 0) == due
        assert figures["round-seconds"] >= figures["round-seconds/distribution"]


def test_refreshed_tiles_are_others_of_the_same_kinds(small_store, made):
    config = fedssg(small_store, made, federation__num_rounds=3, classification__refresh_every=2)
    first = handed_to(run(config, rounds=2)[2])
    later = handed_to(run(config)[2])
    assert [handed["round"].item() for handed in (*first, *later)] == [1, 1, 3, 3]
    for before, after in zip(first, later, strict=True):
        assert (before["labels"] == after["labels"]).all() and len(before["labels"])
        seen = {tile.tobytes() for tile in before["tiles"]}
        assert not seen & {tile.tobytes() for tile in after["tiles"]}


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_run_that_was_interrupted_ends_as_the_whole_one(small_store, made, tmp_path, rounds):
    config = fedssg(small_store, made, federation__num_rounds=4, classification__refresh_every=2)
    whole, reports, kept = run(config)
    rest, later, grid = run_interrupted(config, tmp_path, rounds=rounds)
    assert_close(shared_arrays(rest), shared_arrays(whole), 1e-6)
    assert [report.losses for report in later] == [report.losses for report in reports[rounds:]]
    for handed, expected in zip(handed_to(grid), handed_to(kept), strict=True):
        assert_close(handed, expected, 0)
    written = sum(file.stat().st_size for file in (tmp_path / "c").iterdir())
    weights = sum(array.nbytes for array in shared_arrays(whole).values())
    assert written < 8 * weights + 20_000, "tiles are handed out again, not written down"


def test_noised_counts_are_asked_for_once_and_their_cost_is_told(small_store, made, tmp_path):
    config = fedssg(small_store, made, federation__num_rounds=3, classification__count_noise=4.0, privacy__delta=1e-3)
    kept = []
    account = Account(keep=lambda own: kept.append(dict(own)))
    state, (report,), grid = run(config, rounds=1, account=account)
    assert kept == [{4.0: 1}] and account.epsilon(1e-3) == report.epsilon < math.inf
    assert RoundResult(report, None).metrics["privacy/epsilon"] == report.epsilon
    counts = state.told["counts"]
    assert counts.shape == (2, 2, 1) and counts.dtype == np.int64 and (counts >= 0).all()
    save_checkpoint(tmp_path / "c", state, {})
    loaded, _ = load_checkpoint(tmp_path / "c")
    _, reports, fresh = run(config, state=loaded, account=account)
    assert kept == [{4.0: 1}] and [report.epsilon for report in reports] == [report.epsilon] * 2
    for handed, expected in zip(handed_to(fresh), handed_to(grid), strict=True):
        assert_close(handed, expected, 0)


def test_the_account_of_patients_is_of_the_most_that_one_changes_the_counts(small_store, made):
    noise = {"classification__count_noise": 8.0, "privacy__delta": 1e-3}
    accounts = {clip: Account() for clip in (None, 4.0)}
    epsilons = {}
    for clip, account in accounts.items():
        config = fedssg(small_store, made, federation__num_rounds=1, classification__count_clip=clip, **noise)
        _, (report,), _ = run(config, account=account)
        epsilons[clip] = report.epsilon
    assert dict(accounts[None].releases) == {8.0: 1} and dict(accounts[4.0].releases) == {2.0: 1}
    assert epsilons[None] < epsilons[4.0]


def test_exact_counts_have_no_account(small_store, made):
    _, (report, *_), _ = run(fedssg(small_store, made))
    assert report.epsilon is None


def test_noise_has_the_deviation_that_is_said_and_no_count_is_negative():
    random = np.random.default_rng(0)
    far = noised(np.full((200, 50, 4), 1000.0), 5.0, random)
    # of a rounded Gaussian: 25 + 1 / 12, to 4 standard errors of 40,000 draws
    assert abs(far.mean() - 1000) < 4 * 5 / 200 and abs(far.var() - 25 - 1 / 12) < 4 * 25 * math.sqrt(2 / 40_000)
    near = noised(np.zeros((200, 50, 4)), 5.0, random)
    assert near.dtype == np.int64 and near.min() == 0 and 0.45 < (near == 0).mean() < 0.6


PLAIN = {"classification__optimizer": "sgd", "classification__final_lr_share": 1.0}
DEMANDS = {
    "scaffold": {**PLAIN, "federation__weighting": "uniform"},
    "fednova": PLAIN,
    "trimmed-mean": {"federation__trimmed_share": 0.4},
    "fedbn": {"classification__network": "test_efficientnet"},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_trains_on_handed_tiles_and_keeps_what_it_keeps_beside_them(
    small_store, made, tmp_path, strategy
):
    config = fedssg(
        small_store, made, federation__strategy=strategy, federation__num_clients=3, **DEMANDS.get(strategy, {})
    )
    state, reports, grid = run(config)
    handed = local_plan(config).sum(axis=(1, 2))
    sizes = [len(partitioned_store(config).tiles(client).labels) + handed[client] for client in range(3)]
    counted = sizes if strategy == "krum" else [sum(sizes)]  # it takes one client's reply
    assert all(report.counts["num-examples"] in counted for report in reports) and handed.all()
    assert all({"handed", "optimizer"} <= set(context.state) for context in grid.contexts.values())
    rest, (last,), fresh = run_interrupted(config, tmp_path, rounds=1)
    assert_close(shared_arrays(rest), shared_arrays(state), 1e-6)
    assert last.losses == reports[1].losses
    for node, context in grid.contexts.items():
        assert context.state == fresh.contexts[node].state


def test_a_strategy_that_asks_of_tiles_is_told_of_handed_ones_too(small_store, made, monkeypatch):
    asked, answer = [], fediic.client.answer

    def recorded(half, learner, tiles):
        asked.append(len(tiles.labels))
        return answer(half, learner, tiles)

    monkeypatch.setattr(fediic.client, "answer", recorded)
    config = fedssg(small_store, made, federation__strategy="fediic", federation__num_rounds=1)
    _, (report,), _ = run(config)
    own = sum(len(partitioned_store(config).tiles(client).labels) for client in range(2))
    assert sum(asked) == report.counts["num-examples"] == own + local_plan(config).sum() > own


def test_a_client_without_its_tiles_trains_on_nothing_else(small_store, made):
    config = fedssg(small_store, made)
    grid = LocalGrid(client_app, 2)
    rounds = rounds_of(config, grid, first_state(config))
    next(rounds)
    del grid.contexts[101].state["handed"]
    with pytest.raises(
        FederationError, match=r"client node 101: .* handed out before round 1, but has none: .* --resume"
    ):
        next(rounds)


def test_a_client_that_was_away_counts_among_those_that_may_fail(small_store, made):
    config = fedssg(small_store, made, federation__num_clients=3, federation__max_failed_share=0.4)
    grid = LocalGrid(without(2, "query.take_tiles"), 3)
    _, reports, _ = run(config, grid=grid)
    assert [(report.num_clients, report.num_failed) for report in reports] == [(2, 1)] * 2
    with pytest.raises(FederationError, match=r"1 of 3 clients did not count their tiles:\n  - client node 102"):
        run(config, grid=LocalGrid(without(2, "query.count_tiles"), 3))


def without(partition, message_type):
    """An app of which one client answers all messages but those of a type."""
    app = ClientApp()

    def answer(message, context):
        if (context.node_config["partition-id"], message.metadata.message_type) == (partition, message_type):
            raise OSError("away")
        return client_app(message, context)

    for register in (app.train(), app.query("count_tiles"), app.query("take_tiles")):
        register(answer)
    return app


def site(path, labels, domain):
    """Write a site's store, of one scanner: bright tiles are labelled 'bright', the others 'dark'."""
    tiles = (
        tile._replace(label=labels.index(("dark", "bright")[tile.label]), split="train") for tile in random_tiles(12)
    )
    return write_store(path, (tile for tile in tiles), label_names=labels, domain_names=[domain])


def test_sites_train_on_tiles_of_a_store_that_the_server_alone_opens(made, tmp_path, monkeypatch):
    """Two scanners: each site is handed the labels of the other one's, which its own store does not even know."""
    sites = [site(tmp_path / "a", ["dark", "bright"], "leica"), site(tmp_path / "b", ["bright", "dark"], "aperio")]
    supply = write_store(
        tmp_path / "supply",
        (tile._replace(domain=number % 3 // 2, split="train") for number, tile in enumerate(random_tiles(40, seed=2))),
        label_names=["dark", "bright"],
        domain_names=["leica", "aperio"],
    )
    config = experiment(
        made,
        data__store="sites",
        federation__mode="fedssg",
        classification__tiles="both",
        classification__synthetic=str(supply.path),
        classification__allocation="cover",
    )
    grid = site_grid([store.path for store in sites])
    census = ask_sites(grid, config)
    assert census.domain_names == ("aperio", "leica")
    state = initial_state(config, census.shape)
    rounds = federate(make_strategy(config, census.shape), AgreedGrid(grid, census), state, config, census)
    opened, really_open = [], TileStore.open
    monkeypatch.setattr(TileStore, "open", lambda path: really_open(opened.append(str(path)) or path))
    reports = list(rounds)
    assert opened == [str(supply.path)], "once, by the server; the sites had opened their own"
    assert state.told["counts"].tolist() == [[[0, 6], [0, 6]], [[6, 0], [6, 0]]]
    for handed, own in zip(handed_to(grid), (1, 0), strict=True):
        assert set(handed["domains"].tolist()) == {1 - own} and sorted(set(handed["labels"].tolist())) == [0, 1]
        for tile, label, domain in zip(handed["tiles"], handed["labels"], handed["domains"], strict=True):
            (number,) = [n for n in range(40) if (supply.tiles([n])[0] == tile).all()]
            assert supply.label_names[supply.labels[number]] == census.label_names[label]
            assert supply.domain_names[supply.domains[number]] == census.domain_names[domain]
    assert reports[0].counts["num-examples"] == 24 + reports[0].figures["distribution/tiles"]


def test_sites_are_refused_a_supply_of_other_labels(made, tmp_path):
    sites = [site(tmp_path / name, ["dark", "bright"], "leica") for name in ("a", "b")]
    changes = {"data__store": "sites", "federation__mode": "fedssg", "classification__tiles": "both"}
    config = experiment(made, **changes, classification__synthetic=str(made.path))
    grid = site_grid([store.path for store in sites])
    census = ask_sites(grid, config)
    state = initial_state(config, census.shape)
    rounds = federate(make_strategy(config, census.shape), AgreedGrid(grid, census), state, config, census)
    with pytest.raises(
        StoreError, match="do not go with the real ones of the clients: their domain 'default' is none of"
    ):
        next(rounds)


def test_a_label_that_nobody_has_is_named(small_store, made, tmp_path):
    dark = write_store(
        tmp_path / "dark",
        (tile._replace(split="train" if tile.label == 0 else "test") for tile in random_tiles(24)),
        label_names=["dark", "bright"],
    )
    config = fedssg(dark, made, partition__scheme="iid")
    with pytest.raises(AllocationError, match="no client has a training tile of label 'bright'"):
        run(config)
