"""An experiment goes on from networks that another left: as if they were loaded by hand, or it is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedray.config import ConfigError, ExperimentConfig, override
from fedray.data import census_of, local_store, store_shape, write_store
from fedray.experiment import notes
from fedray.experiment.budget import short_training
from fedray.experiment.engines import ExperimentRun
from fedray.experiment.engines.base import EPSILON
from fedray.experiment.engines.ray_train import CentralisedRun
from fedray.experiment.run import check_config, check_experiment
from fedray.experiment.settled import settled
from fedray.experiment.starting import first_state, start_tags
from fedray.experiment.tracked import default_run_name
from fedray.federation import FederationState, client_app, shared_arrays, to_record
from fedray.randomness import torch_stream
from fedray.results.basis import START, basis_of
from fedray.results.finished import Finished
from fedray.results.folder import EXPERIMENT, identity_of, open_folder
from fedray.results.place import Place
from fedray.results.start import Start, StartError, rests_on
from fedray.simulation import WorkerResources
from fedray.tasks import task_of
from fedray.testing import LocalGrid
from tests.support import classifiers, flows
from tests.support.federation import PRIVATE, assert_close, run
from tests.support.federation import first_state as drawn_state
from tests.support.left import leave
from tests.support.rewriting import rewrite_server
from tests.support.small import random_tiles

LABELS, DOMAINS = ["dark", "bright"], ["old", "new"]


def in_two_domains():
    """Half of either label's tiles are of either domain."""
    return (tile._replace(domain=index // 4 % 2) for index, tile in enumerate(random_tiles()))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same tiles; in the second, labels and domains are numbered the other way round."""
    folder = tmp_path_factory.mktemp("stores")
    first = write_store(folder / "first", in_two_domains(), label_names=LABELS, domain_names=DOMAINS)
    turned = (tile._replace(label=1 - tile.label, domain=1 - tile.domain) for tile in in_two_domains())
    second = write_store(folder / "second", turned, label_names=LABELS[::-1], domain_names=DOMAINS[::-1])
    return first, second


KINDS = {
    "gan": lambda store, make: make(data__store=str(store.path), gan__objective="acgan", gan__generator="residual"),
    "flow": lambda store, make: flows.experiment(store, flow__ema_decay=0.5),
    "classification": lambda store, make: classifiers.experiment(store),
}


@pytest.fixture(scope="module", params=KINDS)
def left(request, stores, small_config, new_database, tmp_path_factory):
    """What a run of each task left, and what makes the configuration of another one on a store."""
    folder = tmp_path_factory.mktemp(request.param)

    def config(store, **changes):
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        return override(KINDS[request.param](store, small_config), dotted, "test")

    return leave(config(stores[0]), folder / "run", new_database(folder)), config


def begun(config):
    config = settled(config)
    return shared_arrays(first_state(config, census_of(config)))


def test_it_goes_on_as_if_the_networks_were_loaded_by_hand(left, stores):
    before, config = left
    plain = settled(config(stores[0], seed=5))
    started = settled(config(stores[0], seed=5, starts_from=str(before.folder)))
    state = ExperimentRun(started, LocalGrid(client_app, 2)).state
    assert list(shared_arrays(state)) == list(shared_arrays(drawn_state(plain))), "Flower matches some by their place"
    assert (state.round_index, state.optimizer, state.told) == (0, {}, {})
    ours, reports, _ = run(started, state=state)
    by_hand, expected, _ = run(plain, state=FederationState(to_record(before.arrays)))
    assert_close(shared_arrays(ours), shared_arrays(by_hand), tolerance=0)
    assert [report.losses for report in reports] == [report.losses for report in expected]
    name = task_of(plain).judged(plain)[0]
    drawn = {key: value for key, value in shared_arrays(drawn_state(plain)).items() if key.startswith(f"{name}.")}
    assert any((before.arrays[key] != value).any() for key, value in drawn.items()), "or it would be no start"


def test_labels_and_domains_are_matched_by_name(left, stores):
    before, config = left
    first, second = stores
    arrays = begun(config(second, starts_from=str(before.folder)))
    task, shape = task_of(before.config), store_shape(second)
    ours, theirs = task.make(before.config, shape, "cpu"), Finished.open(before.folder).learner()
    ours.load(arrays)
    if task.ABILITY == "labels":
        tiles = first.tiles(first.indices("test"))
        np.testing.assert_allclose(ours.logits(tiles)[:, ::-1], theirs.logits(tiles), atol=1e-6)
        assert not np.allclose(ours.logits(tiles), theirs.logits(tiles), atol=1e-6)
        return
    labels, domains = np.arange(8) % 2, np.arange(8) // 2 % 2
    made = ours.sample(1 - labels, torch_stream(0), 1 - domains)
    np.testing.assert_array_equal(made, theirs.sample(labels, torch_stream(0), domains))
    assert (made != theirs.sample(1 - labels, torch_stream(0), domains)).any()
    assert (made != theirs.sample(labels, torch_stream(0), 1 - domains)).any()


def test_a_file_is_as_good_as_a_run_where_it_says_the_names(left, stores, tmp_path):
    before, config = left
    metadata = {"labels": json.dumps(LABELS), "domains": json.dumps(DOMAINS)}
    save_file(before.arrays, tmp_path / "own.safetensors", metadata=metadata)
    for store in stores:
        of_file = begun(config(store, starts_from=str(tmp_path / "own.safetensors")))
        assert_close(of_file, begun(config(store, starts_from=str(before.folder))), tolerance=0)
    save_file(before.arrays, tmp_path / "silent.safetensors")
    with pytest.raises(StartError) as refused:
        begun(config(stores[0], starts_from=str(tmp_path / "silent.safetensors")))
    lines = str(refused.value).splitlines()
    assert "it does not say which labels its entries are of" in lines[1] and "'dark', 'bright'" in lines[1]
    knows_domains = before.config.task != "classification"
    assert len(lines) == 2 + knows_domains and ("which domains" in lines[-1]) == knows_domains


def other_store(folder, tiles=None, labels=LABELS, domains=DOMAINS):
    return write_store(folder / "other", tiles or in_two_domains(), label_names=labels, domain_names=domains)


def test_other_tiles_are_told_at_once(left, tmp_path):
    before, config = left
    tiles = (tile._replace(domain=0) for tile in random_tiles(size=24))
    other = other_store(tmp_path, tiles, labels=["dark", "light"], domains=["newer"])
    with pytest.raises(StartError, match="does not go with this experiment") as refused:
        check_config(settled(config(other, starts_from=str(before.folder))), other)
    told = str(refused.value)
    assert "it learned from tiles of 16 px with 3 channel(s), and these have 24 px with 3" in told
    assert "its labels are 'dark', 'bright', and here they are 'dark', 'light'" in told
    knows_domains = before.config.task != "classification"
    assert ("its domains are 'old', 'new', and here they are 'newer'" in told) == knows_domains


def test_another_build_is_told_array_by_array(left, stores):
    before, config = left
    width = {
        "gan": "gan__generator_channels", "flow": "flow__channels", "classification": "classification__channels"
    }[before.config.task]  # fmt: skip
    with pytest.raises(StartError) as refused:
        begun(config(stores[0], starts_from=str(before.folder), **{width: 16}))
    told = str(refused.value)
    path = width.replace("__", ".")
    assert f"configured otherwise: {path} 8 there, 16 here" in told
    name, value = next(
        (name, value) for name, value in begun(config(stores[0], **{width: 16})).items()
        if value.shape != before.arrays[name].shape
    )  # fmt: skip
    assert f"{name}: float32 {list(before.arrays[name].shape)} there, float32 {list(value.shape)} here" in told


def arrays_of(before, **changes):
    return {**before.arrays, **changes}


def refused_file(config, arrays, folder):
    save_file(arrays, folder / "f.safetensors", metadata={"labels": json.dumps(LABELS), "domains": json.dumps(DOMAINS)})
    with pytest.raises(StartError) as refused:
        begun(config.model_copy(update={"starts_from": str(folder / "f.safetensors")}))
    return str(refused.value).splitlines()[1:]


@pytest.fixture(scope="module")
def classifier(stores, new_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return leave(classifiers.experiment(stores[0], federation__num_rounds=1), folder / "run", new_database(folder))


def test_arrays_that_are_missing_too_many_or_of_another_format_are_named(classifier, stores, tmp_path):
    config = classifiers.experiment(stores[0])
    first, *_, last = classifier.arrays
    without = {name: value for name, value in classifier.arrays.items() if name != first}
    (told,) = refused_file(config, without, tmp_path)
    assert told.startswith(f"  - {first}: none there, float32 [")
    (told,) = refused_file(config, {**classifier.arrays, "classifier.more": np.zeros(3, np.int64)}, tmp_path)
    assert told == "  - classifier.more: int64 [3] there, none here"
    (told,) = refused_file(config, {**classifier.arrays, last: classifier.arrays[last].astype(np.float64)}, tmp_path)
    assert told.startswith(f"  - {last}: float64 [") and " there, float32 [" in told
    named = {name.replace("classifier.", "model."): value for name, value in classifier.arrays.items()}
    (told,) = refused_file(config, named, tmp_path)
    assert "it has no classifier, which travels here (there: model;" in told
    many = {name: value[None] for name, value in classifier.arrays.items()}
    assert len(refused_file(config, many, tmp_path)) == min(len(many), 20) + (len(many) > 20)


def test_a_part_that_stayed_with_clients_is_not_made_up(small_config, new_database, tmp_path):
    alone = leave(small_config(federation__aggregate="generator"), tmp_path / "run", new_database(tmp_path))
    with pytest.raises(StartError, match="it has no discriminator, which travels here"):
        begun(small_config(starts_from=str(alone.folder)))
    for changes in ({"federation__aggregate": "generator"}, {"federation__mode": "md-gan"}):
        assert_close(begun(small_config(starts_from=str(alone.folder), **changes)), alone.arrays, tolerance=0)
    told = notes(small_config(**changes), local_store(alone.config.data), Start.open(str(alone.folder)))
    assert "discriminator of each client does not travel, and begins as drawn" in told


def test_runs_of_another_task_and_of_clients_with_networks_of_their_own_are_refused(
    classifier, stores, small_config, new_database, tmp_path
):
    with pytest.raises(StartError, match="is of task 'classification', but task is 'gan'; give a run of the same"):
        begun(small_config(data__store=str(stores[0].path), starts_from=str(classifier.folder)))
    alone = classifiers.experiment(stores[0], federation__strategy="local-only", federation__num_rounds=1)
    kept = leave(alone, tmp_path / "run", new_database(tmp_path))
    with pytest.raises(StartError, match=r"is of federation\.strategy 'local-only', where every client ends with a"):
        begun(classifiers.experiment(stores[0], starts_from=str(kept.folder)))
    # the other way round all clients begin with the common network
    ours = begun(
        classifiers.experiment(stores[0], federation__strategy="local-only", starts_from=str(classifier.folder))
    )
    assert_close(ours, classifier.arrays, tolerance=0)


def test_domains_do_not_matter_to_a_network_that_knows_none(classifier, tmp_path):
    tiles = (tile._replace(domain=0) for tile in in_two_domains())
    other = other_store(tmp_path, tiles, domains=["newer"])
    assert_close(
        begun(classifiers.experiment(other, starts_from=str(classifier.folder))), classifier.arrays, tolerance=0
    )


def test_the_centralised_engine_begins_with_them_too(classifier, stores):
    central = classifiers.experiment(
        stores[0], federation__mode="centralised", starts_from=str(classifier.folder), seed=3
    )
    run = CentralisedRun(settled(central), WorkerResources(1, cpus_per_worker=1), [])
    assert_close(shared_arrays(run.state), classifier.arrays, tolerance=0)


def test_what_is_open_already_is_not_opened_again(classifier, stores, tmp_path):
    config = settled(classifiers.experiment(stores[0], starts_from=str(tmp_path / "gone")))
    start = Start.open(str(classifier.folder))
    check_config(config, stores[0], start)
    assert_close(shared_arrays(first_state(config, census_of(config), start)), classifier.arrays, tolerance=0)
    with pytest.raises(StartError, match="gone is not there"):
        check_config(config, stores[0])


def test_a_job_goes_on_with_what_it_started_from_alone(classifier, stores, tmp_path, monkeypatch):
    monkeypatch.chdir(classifier.folder.parent)
    config, out = classifiers.experiment(stores[0], starts_from="run"), Place(tmp_path / "out")
    settled_config, store, start = check_experiment(config, out)
    assert settled_config.starts_from == str(classifier.folder)
    open_folder(out, EXPERIMENT, settled_config, {**basis_of(settled_config, store), **rests_on(start)})
    assert identity_of(out, EXPERIMENT)["rests_on"][START] == start.digest
    assert check_experiment(config, out).start.digest == start.digest
    with pytest.raises(ConfigError, match=r"holds another experiment \(starts_from is '.*run' there, not None\)"):
        check_experiment(classifiers.experiment(stores[0]), out)
    path = next((classifier.folder / "checkpoint").glob("round-*")) / "server.safetensors"
    kept = {file: file.read_bytes() for file in (path, path.with_name("state.json"))}
    try:
        rewrite_server(path, {name: value + 1 for name, value in classifier.arrays.items()})
        with pytest.raises(ConfigError, match=r"the checksum of what it starts from was .*; put that back as it was"):
            check_experiment(config, out)
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


def test_privacy_is_not_promised_of_what_was_learned_without(small_config, new_database, tmp_path):
    plain = leave(small_config(**PRIVATE), tmp_path / "plain", new_database(tmp_path))
    private = {**PRIVATE, "privacy__noise_multiplier": 1.0}
    store = local_store(plain.config.data)
    with pytest.raises(StartError, match="learned from tiles of this store without differential privacy"):
        check_config(settled(small_config(**private, starts_from=str(plain.folder))), store)
    kept = leave(small_config(**private), tmp_path / "private", new_database(tmp_path))
    config = settled(small_config(**private, starts_from=str(kept.folder)))
    check_config(config, store)
    start, alone = Start.open(str(kept.folder)), "privacy/epsilon counts this run alone"
    after = "before, to be added for clients of both"
    assert notes(config, store, start)[-1] == f"{alone}: {kept.folder} has spent its own {after}"
    history = kept.history.assign(**{EPSILON: [4.321] * len(kept.history)})
    told = notes(config, store, replace(start, run=replace(start.run, history=history)))
    assert told[-1] == f"{alone}: {kept.folder} has spent 4.32 at delta 1e-05 {after}"
    # of other tiles nothing is known
    others = write_store(tmp_path / "others", random_tiles(seed=1), label_names=LABELS)
    elsewhere = settled(small_config(**private, data__store=str(others.path), starts_from=str(plain.folder)))
    check_config(elsewhere, others)
    told = notes(elsewhere, others, Start.open(str(plain.folder)))
    assert told[-2].startswith("it learned from another store: it may have seen the tiles that this is tested on")
    assert told[-1] == f"{alone}: whoever was learned from before has no guarantee from it"


def test_what_it_says_of_itself(small_config, classifier, stores):
    told = notes(settled(classifiers.experiment(stores[0])), stores[0], Start.open(str(classifier.folder)))
    assert told == [
        f"starts from the classifier of {classifier.folder}, trained for 1 round(s); its optimisers are not taken"
    ]
    assert notes(settled(classifiers.experiment(stores[0])), stores[0]) == []
    assert start_tags(Start.open(str(classifier.folder))) == {"fedray.starts-from": classifier.run_id}
    assert start_tags(Start("own.safetensors", {}, None, None)) == {"fedray.starts-from": "own.safetensors"}
    assert start_tags(None) == {}
    config = classifiers.experiment(stores[0], starts_from="x")
    assert default_run_name(config, stores[0]).startswith("cnn first, pre-trained, ")
    few = small_config(federation__local_steps=2)
    assert list(short_training([few])) != []
    assert list(short_training([few.model_copy(update={"starts_from": "x"})])) == [], "what it knows is not counted"
    with pytest.raises(ConfigError, match="starts_from: string should have at least 1 character"):
        override(ExperimentConfig(), {"starts_from": ""}, "test")
