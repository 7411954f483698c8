"""An experiment on sites, with a server and four sites in this process."""

import numpy as np
import pytest
import torch

from fedray.data import TileStore
from fedray.deployment.client import SiteApp
from fedray.deployment.experiment import run_on_sites
from fedray.evaluation import EvaluationError
from fedray.evaluation.extractors.lite0 import load_lite0
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid, kid
from fedray.federation import FederationError, shared_arrays
from fedray.randomness import torch_stream
from fedray.results.finished import Finished
from tests.support.federation import assert_close, run
from tests.support.sites import site_grid


@pytest.fixture(scope="session")
def sites(stores, tmp_path_factory):
    """Return ``sites(folder)``: a grid of new processes, as it were, whose clients keep their states there."""

    def make(folder):
        grid = site_grid(stores.values())
        grid.client_app = SiteApp()
        for node, context in grid.contexts.items():
            context.node_config["state"] = str(folder / str(node))
        return grid

    return make


@pytest.fixture(scope="session")
def result(sites, on_sites, tmp_path_factory):
    """What an experiment leaves that was stopped after its first round, and went on."""
    folder = tmp_path_factory.mktemp("sites")
    given = {"out": str(folder / "out"), "tracking_uri": f"sqlite:///{folder}/mlflow.db"}

    def stop(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_sites(on_sites, sites(folder / "states"), **given, on_round=stop)
    return run_on_sites(on_sites, sites(folder / "states"), **given, on_round=lambda result: None)


def test_the_networks_are_those_of_a_simulation_that_was_never_stopped(result, simulated):
    expected, _, _ = run(simulated)
    found = Finished.open(result.out)
    assert found.rounds == 3 and result.history["round"].tolist() == [1, 2, 3]
    assert_close(found.arrays, shared_arrays(expected))


def test_the_scores_are_those_of_all_tiles_at_once(result, whole):
    """Features of the pooled tiles, by an extractor that was centred on the pooled training tiles."""
    test = whole.indices("test")
    labels = np.sort(whole.labels[test])
    extractor, found = load_lite0(whole, result.config.evaluation), Finished.open(result.out)
    tiles = found.sampler().sample(labels, torch_stream(result.config.seed, "evaluation", 3), np.zeros_like(labels))
    real, fake = (extractor.features(each, torch.device("cpu")) for each in (whole.tiles(test), tiles))
    samples = [Sample(each, labels) for each in (real, fake)]
    name = f"efficientnet-lite0/{len(test)}"
    assert (
        result.scores
        == found.scores
        == pytest.approx({f"fid/{name}": fid(*samples), f"kid/{name}": kid(real, fake)}, rel=1e-6)
    )


def test_what_is_done_is_not_run_again(result, sites, tmp_path, monkeypatch):
    monkeypatch.setattr(TileStore, "open", lambda *path: pytest.fail("nobody asks for a store"))
    again = run_on_sites(result.config, sites(tmp_path), out=str(result.out), tracking_uri="", on_round=pytest.fail)
    assert (again.scores, again.run_id) == (result.scores, result.run_id)


def refused(config, grid, out, **changes):
    values = {section: getattr(config, section).model_copy(update=fields) for section, fields in changes.items()}
    with pytest.raises((FederationError, EvaluationError)) as error:
        run_on_sites(
            config.model_copy(update=values),
            grid,
            out=str(out),
            tracking_uri=f"sqlite:///{out}.db",
            on_round=pytest.fail,
        )
    return str(error.value)


def test_a_site_with_an_unknown_label_and_a_number_of_others_is_refused(on_sites, sites, tmp_path):
    told = refused(on_sites, sites(tmp_path), tmp_path / "out", data={"labels": ("bright",)})
    assert "that data.labels does not name: node 100 has 'dark'; " in told and "; it has 'bright'" in told
    told = refused(on_sites, sites(tmp_path), tmp_path / "out", federation={"num_clients": 3})
    assert "4 site(s) are connected" in told and "federation.num_clients is 3" in told
    few = {"federation": {"num_clients": 5}, "resources": {"start_timeout_s": 0.01}}
    told = refused(on_sites, sites(tmp_path), tmp_path / "out", **few)
    assert "federation.num_clients is 5: start `jobs/site.py run`" in told
    assert not (tmp_path / "out" / "experiment.json").exists(), "nothing has begun"


def test_a_site_says_no_sums_of_a_few_tiles(on_sites, sites, tmp_path):
    told = refused(on_sites, sites(tmp_path), tmp_path / "out", evaluation={"num_samples": 40})
    assert "says sums of at least 16 tiles, but was asked for those of 10" in told
    told = refused(on_sites, sites(tmp_path), tmp_path / "more", evaluation={"num_samples": 65})
    assert "at most the number of test tiles, 64 at all sites together, but got 65" in told
