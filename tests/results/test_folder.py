"""What a folder's run rests on is recorded at its start, and compared before it goes on."""

import json
import shutil

import pytest
import yaml

import fedray
from fedray.config import ConfigError, nest, save_config
from fedray.data import local_store, write_store
from fedray.experiment.run import check_experiment, finished_experiment, saved_config
from fedray.experiment.settled import settled
from fedray.results import Place
from fedray.results.basis import EXTRACTOR, FORMAT, TILES, WEIGHTS, basis_of, changes, this_fedray
from fedray.results.files import FINISHED, RESULTS
from fedray.results.finished import Finished, ResultsError
from fedray.results.folder import EXPERIMENT, SWEEP, check_basis, finish, open_folder, outcome_of
from fedray.sweep import SearchSpace
from fedray.sweep.check import check_sweep, finished_sweep, saved_space, settle
from tests.support.rewriting import rewrite
from tests.support.small import SMALL, random_tiles


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "store", random_tiles(), label_names=["dark", "bright"])


@pytest.fixture
def config(store, small_config):
    return settled(small_config(data__store=str(store.path)))


@pytest.fixture
def space(store):
    return settle(
        SearchSpace.model_validate(
            {
                "name": "small",
                "fixed": nest({**SMALL, "data.store": str(store.path)}),
                "search": {"gan.n_critic": {"type": "int", "low": 1, "high": 3}},
                "goal": {"metric": "fid/efficientnet-lite0"},
                "num_trials": 2,
            }
        )
    )


def started(kind, request):
    """What is started, how it is checked before it goes on, how its configuration is read, and how it ends."""
    if kind is EXPERIMENT:
        return request.getfixturevalue("config"), check_experiment, saved_config, finished_experiment
    return request.getfixturevalue("space"), check_sweep, saved_space, finished_sweep


BASIS = {**this_fedray(), TILES: "aaaa", WEIGHTS: "bbbb", EXTRACTOR: "cccc"}


@pytest.mark.parametrize("name", BASIS)
def test_each_difference_is_told_with_both_values_and_a_remedy(name):
    (told,) = changes(BASIS, BASIS | {name: "other"})
    assert told.startswith(f"the {name} was {BASIS[name]}, and is other now; ")
    assert len(told.partition("; ")[2]) > 20
    assert changes(BASIS, BASIS) == changes(BASIS, {TILES: "aaaa"}) == []


def test_all_differences_are_told_at_once(tmp_path, config):
    out = Place.at(tmp_path / "run")
    open_folder(out, EXPERIMENT, config, BASIS)
    open_folder(out, EXPERIMENT, config, BASIS)
    with pytest.raises(ConfigError, match=r"one run would rest on two things: .*aaaa, .*; and .*cccc.*another --out$"):
        open_folder(out, EXPERIMENT, config, BASIS | {TILES: "x", EXTRACTOR: "y"})
    check_basis(Place.at(tmp_path / "nothing yet"), EXPERIMENT, {})


@pytest.mark.parametrize("kind", [EXPERIMENT, SWEEP], ids=lambda kind: kind.name)
def test_a_store_that_was_built_again_is_refused_by_its_fingerprints(tmp_path, store, request, kind):
    what, check, _, _ = started(kind, request)
    out, fixed = Place.at(tmp_path / "run"), what if kind is EXPERIMENT else what.fixed
    open_folder(out, kind, what, basis_of(fixed, store))
    check(what, out)
    shutil.rmtree(store.path)
    again = write_store(store.path, random_tiles(seed=1), label_names=["dark", "bright"])
    local_store.cache_clear()  # as in a new process
    with pytest.raises(ConfigError) as refused:
        check(what, out)
    assert f"the fingerprint of the tile store was {store.fingerprint}, and is {again.fingerprint} now" in str(
        refused.value
    )
    assert "put the tile store back as it was" in str(refused.value)


def test_another_fedray_and_other_weights_are_refused(tmp_path, store, config, monkeypatch):
    weights = tmp_path / "resnet18.pth"
    weights.write_bytes(b"some")
    gan = config.gan.model_copy(
        update={"discriminator": "resnet18", "initialisation": "imagenet", "weights": str(weights)}
    )
    config = config.model_copy(update={"gan": gan})
    before = basis_of(config, store)
    weights.write_bytes(b"others")
    (told,) = changes(before, basis_of(config, store))
    assert told.startswith(f"the {WEIGHTS} was ")
    monkeypatch.setattr(fedray, "__version__", "9.9")
    told = changes(before, basis_of(config, store))
    assert any("the version of FedRay was 0.1.0, and is 9.9 now" in line for line in told)


@pytest.mark.parametrize("finished", [False, True], ids=["stopped", "finished"])
@pytest.mark.parametrize("kind", [EXPERIMENT, SWEEP], ids=lambda kind: kind.name)
def test_a_configuration_that_was_changed_in_the_folder_is_refused(tmp_path, store, request, kind, finished):
    what, _, saved, result = started(kind, request)
    out = Place.at(tmp_path / "run")
    open_folder(out, kind, what, {})
    assert saved(out) == what
    assert result(what, out) is None
    if finished:
        finish(out, {"scores": {}, "floor": {}, "run_id": "r", "pages": {}})
    file = out.folder / kind.config
    content = yaml.safe_load(file.read_text())
    fixed = content if kind is EXPERIMENT else content["fixed"]
    fixed["gan"]["batch_size"] = 16
    if kind is SWEEP:
        content["num_trials"] = 20
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as refused:
        result(what, out) if finished else saved(out)
    message = str(refused.value)
    assert "gan.batch_size was 8, and is 16 now" in message
    assert kind is EXPERIMENT or "num_trials was 2, and is 20 now" in message
    assert f"change that back; or start a new {kind.name} with {kind.option} {file} and another --out" in message
    fixed["gan"]["batch_size"] = 8
    content |= {"num_trials": 2} if kind is SWEEP else {}
    file.write_text(yaml.safe_dump(content))
    assert saved(out) == what


@pytest.mark.parametrize("finished", [False, True], ids=["stopped", "finished"])
@pytest.mark.parametrize("kind", [EXPERIMENT, SWEEP], ids=lambda kind: kind.name)
def test_a_folder_from_before_there_were_tasks_is_refused_by_its_format(tmp_path, store, request, kind, finished):
    """Format 3, and a configuration that lacks what came since."""
    what, _, saved, result = started(kind, request)
    out, fixed = Place.at(tmp_path / "run"), what if kind is EXPERIMENT else what.fixed
    open_folder(out, kind, what, basis_of(fixed, store))
    if finished:
        finish(out, {"scores": {}, "floor": {}, "run_id": "r", "pages": {}})

    def make_older(record):
        older = record["started"] if kind is EXPERIMENT else record["started"]["fixed"]
        del older["task"], older["classification"]
        record["rests_on"][FORMAT] = "3"
        (out.folder / kind.config).write_text(yaml.safe_dump(record["started"]))

    rewrite(out.folder / kind.identity, make_older)
    told = "the format of the folder was 3, and is 5 now; go on with the FedRay that started it"
    with pytest.raises(ConfigError, match=told):
        saved(out)
    if finished:
        with pytest.raises(ConfigError, match=told):
            result(what, out)
    with pytest.raises(ResultsError, match=f"the {kind.name} in .* was written by FedRay 0.1.0 in format 3"):
        Finished.open(out.folder)


@pytest.mark.parametrize("kind", [EXPERIMENT, SWEEP], ids=lambda kind: kind.name)
def test_a_field_that_came_since_is_no_edit(tmp_path, request, kind):
    """Where its author forgot to count the format on."""
    what, _, saved, _ = started(kind, request)
    out = Place.at(tmp_path / "run")
    open_folder(out, kind, what, {})

    def forget(record):
        del (record["started"] if kind is EXPERIMENT else record["started"]["fixed"])["gan"]["n_critic"]

    rewrite(out.folder / kind.identity, forget)
    with pytest.raises(ConfigError, match=r"was started by a FedRay that had no (fixed\.)?gan\.n_critic; go on with"):
        saved(out)


def test_a_folder_that_says_nothing_of_what_it_rests_on_is_refused(tmp_path, config):
    out = Place.at(tmp_path / "run")
    open_folder(out, EXPERIMENT, config, {})
    (out.folder / RESULTS).touch()
    for content in ('{"key": "a"}', "{", ""):
        (out.folder / EXPERIMENT.identity).write_text(content)
        with pytest.raises(ConfigError, match=r"experiment\.json does not say what .* start a new experiment with"):
            saved_config(out)


def test_on_shared_storage_too(tmp_path, config, bucket, monkeypatch):
    uri = f"{bucket.uri}/runs/first"
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "one head"))
    open_folder(Place.at(uri), EXPERIMENT, config, BASIS)
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "another head"))
    there = Place.at(uri)
    assert saved_config(there) == config
    with pytest.raises(ConfigError, match=r"the experiment in s3://.* the fingerprint of the tile store was aaaa"):
        check_basis(there, EXPERIMENT, BASIS | {TILES: "x"})
    save_config(config.model_copy(update={"seed": 7}), there.folder / "config.yaml")
    there.push()
    with pytest.raises(ConfigError, match=r"s3://.*config\.yaml was changed .* \(seed was 0, and is 7 now\)"):
        saved_config(Place.at(uri))
    finish(there, {"run_id": "r"})
    assert outcome_of(Place.at(uri)) == {"run_id": "r"}
    assert json.loads((there.folder / FINISHED).read_text())["run_id"] == "r"
