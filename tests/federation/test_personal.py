"""Strategies under which every client ends with a network of its own: what travels, what stays, how it is judged."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from fedray.config import ConfigError
from fedray.data import TileShape
from fedray.experiment.engines import ExperimentRun
from fedray.federation import client_app, sample_from_clients, shared_arrays
from fedray.federation.messages import from_record
from fedray.federation.strategies.fedbn import batch_norms
from fedray.randomness import torch_stream
from fedray.tasks.classification import Classifier
from fedray.tasks.classification.classifier import PART
from fedray.tasks.gan import Gan
from fedray.testing import LocalGrid
from tests.support.classifiers import experiment
from tests.support.federation import assert_close, first_state, run, run_interrupted
from tests.support.recording import RecordingGrid

SHAPE = TileShape(16, 3, 2)
BATCH_NORM = {"classification__network": "test_efficientnet"}


def personal(store, strategy, **changes):
    return experiment(store, federation__strategy=strategy, **BATCH_NORM, **changes)


def own_of(grid):
    return [from_record(context.state.array_records["own"]) for context in grid.contexts.values()]


@pytest.mark.parametrize("strategy", ["fedbn", "local-only"])
def test_what_is_a_clients_own_is_in_no_message_that_it_sends(small_store, strategy):
    """Two rounds and a judgement, every message of them; and what comes down of it is what all began with."""
    config = personal(small_store, strategy)
    grid, network = RecordingGrid(LocalGrid(client_app, 2)), Classifier(config.classification, SHAPE, config.seed)
    judged = ExperimentRun(config, grid)
    before = shared_arrays(judged.state)
    while not judged.done:
        judged.step()
    own = set(before) if strategy == "local-only" else set(batch_norms(network, [PART]))
    assert any(name.endswith("running_var") for name in own)
    kept = {value.tobytes() for arrays in own_of(grid) for value in arrays.values() if value.size > 1}
    assert all(set(arrays) == own for arrays in own_of(grid))
    assert {entry.message for entry in grid.entries if entry.sender == "site"} == {"train", "query.judge"}
    for entry in grid.entries:
        if entry.sender == "site":
            assert entry.name not in own
            assert not isinstance(entry.value, np.ndarray) or entry.value.tobytes() not in kept, "nor renamed"
        elif entry.name in own:
            np.testing.assert_array_equal(entry.value, before[entry.name])


def test_each_client_is_judged_with_its_own_network_and_counts_once(small_store):
    config = personal(small_store, "fedbn", classification__lr=0.03)
    judged = ExperimentRun(config, LocalGrid(client_app, 2))
    while not judged.done:
        result = judged.step()
    indices = small_store.indices("test")
    tiles, labels, recalls, counts = small_store.tiles(indices), small_store.labels[indices], [], 0
    for own in own_of(judged.grid):
        network = Classifier(config.classification, SHAPE, config.seed)
        network.load({**shared_arrays(judged.state), **own})
        answers = network.logits(tiles).argmax(1)
        recalls.append(balanced_accuracy_score(labels, answers))
        counts = counts + np.array([[((labels == i) & (answers == j)).sum() for j in (0, 1)] for i in (0, 1)])
    scores = result.evaluation.scores
    assert scores["balanced-accuracy/test/20"] == pytest.approx(np.mean(recalls))
    assert scores["balanced-accuracy-low/test/20"] <= np.mean(recalls) <= scores["balanced-accuracy-high/test/20"]
    np.testing.assert_array_equal(result.evaluation.preview, counts)
    assert judged.preview() is None


def test_a_client_that_has_not_trained_is_judged_as_all_began(small_store):
    config = personal(small_store, "local-only", federation__num_rounds=1, federation__client_fraction=0.5)
    judged = ExperimentRun(config, LocalGrid(client_app, 2))
    result = judged.step()
    trained = [context for context in judged.grid.contexts.values() if "own" in context.state]
    assert len(trained) == 1
    indices, recalls = small_store.indices("test"), []
    for own in ({}, from_record(trained[0].state.array_records["own"])):
        network = Classifier(config.classification, SHAPE, config.seed)
        network.load({**shared_arrays(first_state(config)), **own})
        answers = network.logits(small_store.tiles(indices)).argmax(1)
        recalls.append(balanced_accuracy_score(small_store.labels[indices], answers))
    assert result.evaluation.scores["balanced-accuracy/test/20"] == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize("strategy", ["fedbn", "local-only"])
def test_own_networks_are_in_the_checkpoint(small_store, strategy, tmp_path):
    config = personal(small_store, strategy, federation__num_rounds=3)
    whole, _, grid = run(config)
    rest, reports, after = run_interrupted(config, tmp_path, rounds=1)
    assert len(reports) == 2
    assert_close(shared_arrays(rest), shared_arrays(whole), 0)
    for found, expected in zip(own_of(after), own_of(grid), strict=True):
        assert_close(found, expected, 0)


def test_tiles_come_from_every_clients_own_network(small_config):
    config = small_config(federation__strategy="fedbn")
    state, _, grid = run(config)
    labels, domains = np.array([0, 1, 1, 0, 1, 0]), np.zeros(6, np.int64)
    tiles = sample_from_clients(grid, config, state, labels, domains)
    for number, own in enumerate(own_of(grid)):
        gan = Gan(config.gan, SHAPE, config.seed)
        gan.load({**shared_arrays(state), **own})
        random, mine = torch_stream(config.seed, "sample", state.round_index, number), slice(number, None, 2)
        np.testing.assert_array_equal(tiles[mine], gan.sample(labels[mine], random, domains[mine]))


def test_stopping_early_is_refused_without_a_network_to_go_back_to(small_store):
    with pytest.raises(ConfigError, match=r"classification\.patience needs a common network .* 'local-only'"):
        personal(small_store, "local-only", classification__patience=2)
