"""Four sites with four stores, and a server without a tile: real processes on loopback, started as users start them."""

import os
import re

import numpy as np
import pytest
import torch

from fedray.config import save_config
from fedray.evaluation.extractors.lite0 import load_lite0
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.distances import fid, kid
from fedray.federation import load_checkpoint, shared_arrays
from fedray.randomness import torch_stream
from fedray.results.finished import Finished
from fedray.results.place import Place
from fedray.storage import InUseError, read_table
from fedray.tracking import recorded_run
from tests.support.federation import assert_close, run
from tests.support.hospitals import hospitals
from tests.support.jobs import load
from tests.support.loopback import wait_until

pytestmark = pytest.mark.timeout(900)  # a dozen processes begin, on machines with two cores


@pytest.fixture(scope="module")
def federation(stores, tmp_path_factory):
    with hospitals(tmp_path_factory.mktemp("hospitals"), stores) as federation:
        yield federation


@pytest.fixture(scope="module")
def config_file(on_sites, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "sites.yaml"
    save_config(on_sites, path)
    return path


@pytest.fixture(scope="module")
def trained(federation, config_file, tmp_path_factory):
    """The results of a run of three rounds that was stopped after the first, and went on; and MLflow's address."""
    folder, job = tmp_path_factory.mktemp("runs"), load("server")
    out, uri = folder / "out", f"sqlite:///{folder}/mlflow.db"

    def stop(text, *more, **options):
        if "round 1 of 3" in str(text):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        with patch.context() as printing, pytest.raises(KeyboardInterrupt):
            printing.setattr("builtins.print", stop)
            job.main(federation.train("--config", config_file, "--out", out))
        wait_until(lambda: is_free(out), "the server to let go")
        [checkpoint] = (out / "checkpoint").glob("round-*")
        assert load_checkpoint(checkpoint)[0].round_index < 3
        job.main(federation.train("--resume", out))
    return out, uri


def is_free(out):
    try:
        with Place.at(out).held():
            return True
    except InUseError:
        return False


def test_four_sites_equal_the_simulation_of_their_partition(trained, simulated):
    """That was never stopped: sites a round ahead of the checkpoint took up the state that they had in it."""
    out, _ = trained
    expected, reports, _ = run(simulated)
    found = Finished.open(out)
    assert found.rounds == 3 and found.tiles.label_names == ("bright", "dark")
    assert_close(found.arrays, shared_arrays(expected))
    history = read_table(out / "results.parquet")
    assert history["round"].tolist() == [1, 2, 3]
    for name, value in reports[-1].losses.items():
        assert history[f"loss/{name}"].iloc[-1] == pytest.approx(value, rel=1e-4)


def test_the_server_scores_as_if_it_had_all_tiles(trained, whole):
    """Against the features of the pooled tiles: the default extractor, centred on the pooled training tiles."""
    out, _ = trained
    found = Finished.open(out)
    test = whole.indices("test")
    labels = np.sort(whole.labels[test])
    extractor = load_lite0(whole, found.config.evaluation)
    tiles = found.sampler().sample(labels, torch_stream(found.config.seed, "evaluation", 3), np.zeros_like(labels))
    real, fake = (extractor.features(each, torch.device("cpu")) for each in (whole.tiles(test), tiles))
    samples = [Sample(each, labels) for each in (real, fake)]
    assert set(found.scores) == {f"{kind}/efficientnet-lite0/{len(test)}" for kind in ("fid", "kid")}
    assert found.scores[f"fid/efficientnet-lite0/{len(test)}"] == pytest.approx(fid(*samples), rel=1e-6)
    assert found.scores[f"kid/efficientnet-lite0/{len(test)}"] == pytest.approx(kid(real, fake), rel=1e-6)


def test_no_process_of_the_servers_has_opened_a_store(trained, federation, stores):
    opened = federation.opened_by_server()
    assert any("fedray/deployment/experiment.py" in path or "deployment/__pycache__" in path for path in opened)
    folder = str(next(iter(stores.values())).parent)
    assert [path for path in opened if path.startswith(folder) or path.endswith(("tiles.arrow", "store.json"))] == []


def test_mlflow_has_the_run_and_its_model(trained):
    out, uri = trained
    found = recorded_run(Finished.open(out).run_id, uri)
    assert found.status == "FINISHED"
    assert Finished.open(found.run_id, uri).rounds == 3
    assert (out / "samples.png").exists()


def test_a_failed_run_ends_with_an_error_that_names_site_and_cause(federation, config_file, tmp_path, capsys):
    job = load("server")
    command = federation.train("--config", config_file, "--out", tmp_path / "out", "--data.labels", "bright")
    with pytest.raises(Exception, match=r"charite has 'dark'.*nord has 'dark'") as failed:
        job.main(command)
    assert str(failed.value).startswith("the run failed: ")
    assert not (tmp_path / "out" / "experiment.json").exists(), "nothing has begun"


def test_a_site_whose_key_is_not_registered_is_told_so(federation, stores, tmp_path):
    strange = tmp_path / "keys"
    load("site").main(["keys", "--out", str(strange), "--sites", "nobody"])
    (strange / "sites" / "nobody" / "ca.crt").write_bytes((federation.keys / "ca.crt").read_bytes())
    folder = federation.keys / "sites" / "nobody"
    os.rename(strange / "sites" / "nobody", folder)
    process = federation.join("nobody", stores["nord"])
    assert process.wait(120) == 2
    last = federation.log("nobody").splitlines()[-1]
    assert re.match(r"error: the SuperNode of site 'nobody' ended .* is .*site.key registered there", last), last
