"""Hospitals with tiles of their own, and a server without any."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedray.config import ConfigError
from fedray.data import OwnStore, StoreError, Tile, TileShape, TileStore, client_partition, local_store, write_store
from fedray.federation import (
    AgreedGrid,
    FederationError,
    ask_sites,
    client_app,
    federate,
    initial_state,
    make_strategy,
    shared_arrays,
)
from fedray.federation.sites import merged
from fedray.testing import LocalGrid
from tests.support.federation import assert_close, run
from tests.support.sites import SiteGrid, site_grid


def store_of(tiles, path, label_names=("dark", "bright")):
    """Write a store of images by label name, all of them for training."""
    entries = (
        Tile(image, label=label_names.index(label), domain=0, group=f"g{number}", split="train", source="test")
        for number, (image, label) in enumerate(tiles)
    )
    return write_store(path, entries, label_names=list(label_names))


def share_of(store, indices):
    return [(store.tiles([index])[0], store.label_names[store.labels[index]]) for index in indices]


def sites_config(small_config, **changes):
    return small_config(data__store="sites", federation__num_clients=2, **changes)


def run_on_sites(grid, config):
    census = ask_sites(grid, config)
    state = initial_state(config, census.shape)
    strategy = make_strategy(config, census.shape)
    reports = list(federate(strategy, AgreedGrid(grid, census), state, config, census))
    return census, shared_arrays(state), reports


def test_two_sites_and_a_server_without_tiles_equal_the_simulation_of_their_partition(
    small_config, small_store, tmp_path, monkeypatch
):
    """Each site is a process with a store of its own; one of them files its labels the other way round."""
    training = share_of(small_store, small_store.indices("train"))[:-1]
    whole = store_of(training, tmp_path / "whole", ("bright", "dark"))
    simulated = small_config(
        data__store=str(whole.path), partition__scheme="dirichlet", federation__num_clients=2,
        federation__aggregate="generator",  # the sites keep their discriminators between the rounds
    )  # fmt: skip
    expected, reported, _ = run(simulated)
    shares = [share_of(whole, indices) for indices in client_partition(simulated).clients]
    assert len({len(share) for share in shares}) == 2, "weights differ"
    stores = [
        store_of(share, tmp_path / name, labels)
        for share, name, labels in zip(
            shares, ("first", "second"), (("bright", "dark"), ("dark", "bright")), strict=True
        )
    ]
    grid = SiteGrid([{"partition-id": number, "store": str(store.path)} for number, store in enumerate(stores)])
    monkeypatch.setattr(TileStore, "open", lambda *path: pytest.fail("the server opened a store"))
    try:
        census, arrays, reports = run_on_sites(grid, sites_config(small_config, federation__aggregate="generator"))
    finally:
        grid.close()
    assert census.label_names == ("bright", "dark") and census.sizes == tuple(map(len, shares))
    assert_close(arrays, shared_arrays(expected))
    assert [report.counts for report in reports] == [report.counts for report in reported]


@pytest.mark.parametrize("mode", ["federated", "md-gan"])
def test_a_site_may_lack_a_label(small_config, small_store, tmp_path, mode):
    training = share_of(small_store, small_store.indices("train"))
    dark = [(image, label) for image, label in training if label == "dark"]
    grid = site_grid([store_of(dark, tmp_path / "dark", ("dark",)).path, small_store.path])
    census, arrays, reports = run_on_sites(grid, sites_config(small_config, federation__mode=mode))
    assert census.label_names == ("bright", "dark") and census.shape == TileShape(16, 3, 2, 1)
    assert reports[-1].num_clients == 2 and all(np.isfinite(array).all() for array in arrays.values())


def answer(**changes):
    said = {"size": 16, "channels": 3, "labels": ["dark"], "domains": ["default"], "num-tiles": 5, "fingerprint": "f"}
    return ConfigRecord({**said, **changes})


def test_labels_keep_their_order_where_all_sites_have_the_same():
    assert merged({"a": answer(labels=["b", "a"]), "b": answer(labels=["b", "a"])}).label_names == ("b", "a")
    several = merged({"a": answer(labels=["b", "a"], domains=["one"]), "b": answer(labels=["c"], domains=["other"])})
    assert (several.label_names, several.domain_names, several.sizes) == (("a", "b", "c"), ("one", "other"), (5, 5))
    assert several.shape == TileShape(16, 3, 3, 2)


def test_labels_that_the_experiment_names_are_matched_by_name_and_others_are_refused():
    known = ("c", "a", "b")
    census = merged({"mitte": answer(labels=["b", "a"]), "nord": answer(labels=["a"])}, known)
    assert (census.label_names, census.shape.num_labels) == (known, 3)
    with pytest.raises(
        FederationError, match=r"that data.labels does not name: nord has 'd', 'e'; it has 'c', 'a', 'b'"
    ):
        merged({"mitte": answer(labels=["b"]), "nord": answer(labels=["d", "a", "e"])}, known)


def test_sites_whose_tiles_do_not_go_together_are_named(small_config):
    with pytest.raises(FederationError, match=r"must be alike, but are not \(mitte: 16 px, nord: 32 px\)"):
        merged({"mitte": answer(), "nord": answer(size=32)})
    with pytest.raises(FederationError, match="no site is connected"):
        ask_sites(LocalGrid(client_app, 0), sites_config(small_config))


def test_a_site_without_a_store_says_how_to_start_it(small_config, small_store):
    grid = site_grid([small_store.path, small_store.path])
    del grid.contexts[101].node_config["store"]
    with pytest.raises(FederationError, match=r"1 of 2 sites did not .*\n  - client node 101: .*--node-config 'store="):
        ask_sites(grid, sites_config(small_config))


def test_a_site_does_not_train_on_its_tiles_for_an_experiment_on_others(small_config, small_store):
    with pytest.raises(FederationError, match=r"this site trains on its own tiles .* set data.store to 'sites'"):
        run(small_config(), grid=site_grid([small_store.path, small_store.path]))


def test_a_label_that_came_later_is_refused(small_config, small_store, tmp_path):
    config = sites_config(small_config)
    grid = site_grid([small_store.path, small_store.path])
    census = ask_sites(grid, config)
    later = store_of(share_of(small_store, [0]), tmp_path / "later", ("dark", "bright", "new"))
    grid.contexts[101].node_config["store"] = str(later.path)
    strategy = make_strategy(config, census.shape)
    rounds = federate(strategy, AgreedGrid(grid, census), initial_state(config, census.shape), config, census)
    with pytest.raises(FederationError, match="has the label 'new', but the experiment began with 'dark', 'bright'"):
        next(rounds)


def test_own_names_are_codes_of_the_agreed_ones(small_store):
    source = OwnStore(small_store, ["other", "bright", "dark"], ["default"])
    codes = {"dark": 2, "bright": 1}
    names = [small_store.label_names[code] for code in small_store.labels[small_store.indices("train")]]
    assert source.tiles(7).labels.tolist() == [codes[name] for name in names]
    assert source.shape() == TileShape(16, 3, 3, 1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"federation__mode": "centralised"}, "needs a federation.mode with several clients, but got 'centralised'"),
        ({"partition__scheme": "dirichlet"}, "every site has its own tiles"),
        ({"data__labels": "a,b,a"}, "data.labels must name every label once, but has 'a' twice"),
        ({"data__labels": " , "}, "data.labels"),
        (
            {"privacy__noise_multiplier": 1.0, "gan__generator": "residual", "federation__weighting": "uniform"},
            "which labels a site has would be covered by no account",
        ),
    ],
)
def test_what_sites_cannot_do_is_refused(small_config, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        sites_config(small_config, **changes)


def test_other_commands_say_that_they_need_tiles(small_config):
    with pytest.raises(StoreError, match=r"data.store 'sites' is for `flwr run`"):
        local_store(sites_config(small_config).data)
