"""FedIIC: its terms and its prototypes against loops and plain PyTorch, and a round of it by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fedray.config import ConfigError
from fedray.data import LabelledTiles, TileShape, partitioned_store
from fedray.federation import client_app, shared_arrays
from fedray.federation.strategies.fediic import Contrast, adjustment, intra, make_projector, spread
from fedray.learning import to_float
from fedray.tasks.classification import Classifier
from fedray.testing import LocalGrid, small_experiment
from tests.support.classifiers import experiment
from tests.support.federation import assert_close, first_state, run, run_interrupted, strategy_of
from tests.support.recording import RecordingGrid

SHAPE = TileShape(16, 3, 2)
SGD = {
    "classification__optimizer": "sgd",
    "classification__lr": 0.05,
    "classification__weight_decay": 0.0,
    "classification__augment": "none",
    "federation__local_steps": 1,
    "federation__num_rounds": 1,
    "classification__batch_size": 32,
}


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_logits_are_corrected_by_shares_and_difficulty_and_a_label_that_is_missing_is_out():
    counts, losses = np.array([6, 0, 2]), np.array([0.5, 3.0, 2.0])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 2, 2, 0])
    found = functional.cross_entropy(logits + torch.from_numpy(adjustment(counts, losses)).float(), labels)
    expected = 0.0
    for row, label in zip(logits.detach().double().numpy(), labels.tolist(), strict=True):
        odds = {c: counts[c] / 8 / (losses[c] ** 0.25 + 1e-5) * np.exp(row[c]) for c in (0, 2)}
        expected -= np.log(odds[label] / sum(odds.values())) / 4
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert torch.isfinite(logits.grad).all() and (logits.grad[:, 1] == 0).all()


def test_the_contrast_within_a_client_is_a_loop_over_pairs():
    vectors, labels, shares = unit(10, 6), torch.tensor([0, 1, 1, 2, 0] * 2), torch.tensor([0.9, 0.097, 0.003])
    expected = []
    for i in range(10):
        heat = [max(float(shares[labels[i]] * shares[labels[j]]) ** 0.5, 0.07) for j in range(10)]
        similar = [np.exp(float(vectors[i] @ vectors[j]) / heat[j]) for j in range(10)]
        whole = sum(similar) - similar[i]
        alike = [j for j in range(10) if j != i and labels[j] == labels[i]]
        expected.append(-np.mean([np.log(similar[j] / whole) for j in alike]))
    assert intra(vectors, labels, shares).item() == pytest.approx(np.mean(expected), rel=1e-4)


def by_hand(features, labels, projector, prototypes, counts):
    """Return both terms with their weights, in the words of the paper."""
    first, second = projector
    vectors = functional.normalize(second(first(torch.cat(list(features)))), dim=1)
    twice = torch.cat([labels, labels])
    shares = torch.tensor(counts / counts.sum(), dtype=torch.float32)
    heat = torch.sqrt(shares[twice][:, None] * shares[twice][None]).clamp(min=0.07)
    similar = torch.exp(vectors @ vectors.T / heat) * (1 - torch.eye(len(twice)))
    alike = (twice[:, None] == twice[None]).float() * (1 - torch.eye(len(twice)))
    within = -((torch.log(similar + torch.eye(len(twice))) - torch.log(similar.sum(1, keepdim=True))) * alike).sum(1)
    across = torch.exp(vectors @ torch.from_numpy(prototypes).T / 0.1)
    across = -torch.log(across[torch.arange(len(twice)), twice] / across.sum(1))
    return 2 * (within / alike.sum(1)).mean() + 2 * across.mean()


def test_prototypes_are_moved_apart_as_by_pytorchs_sgd():
    start = unit(4, 6).numpy() * np.array([[1.0], [2.0], [0.5], [3.0]]) + 0.4
    moved = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([moved], lr=0.1)
    for _ in range(1000):
        vectors = functional.normalize(moved, dim=1)
        cosines = (vectors @ vectors.T).masked_fill(torch.eye(4, dtype=torch.bool), -2)
        optimizer.zero_grad()
        cosines.max(1).values.sum().backward()
        optimizer.step()
    found = spread(start)
    np.testing.assert_allclose(found, functional.normalize(moved, dim=1).detach().numpy(), atol=1e-5)
    apart = (found @ found.T)[~np.eye(4, dtype=bool)]
    assert apart.max() < -0.3, "four are farthest apart at cosines of -1/3"
    assert (found @ found.T).max() == pytest.approx(1, abs=1e-6)


def initial_projector(learner):
    weights = next(value for name, value in learner.arrays().items() if name.endswith("head.1.weight"))
    return make_projector(weights.shape[1], seed=0), torch.from_numpy(weights)


@pytest.mark.parametrize(
    "network", [{}, {"classification__projection": 6}, {"classification__network": "test_efficientnet"}]
)
def test_a_round_is_a_step_of_each_client_by_hand(small_store, network):
    """Losses asked for, prototypes, both terms, corrected logits, a step by SGD, and the mean of all, projector too."""
    config = experiment(small_store, federation__strategy="fediic", **SGD, **network)
    source, start = partitioned_store(config), shared_arrays(first_state(config))
    losses, counts = np.zeros(2), np.zeros(2)
    for client in range(2):
        one, tiles = Classifier(config.classification, SHAPE, 0), source.tiles(client)
        each = -np.log(np.exp(logits := one.logits(tiles.tiles).astype(float)) / np.exp(logits).sum(1, keepdims=True))
        for loss, label in zip(each, tiles.labels, strict=True):
            losses[label] += loss[label]
            counts[label] += 1
    projector, weights = initial_projector(one)
    with torch.no_grad():
        prototypes = spread(projector(weights).numpy())
    results = []
    for client in range(2):
        one, tiles = Classifier(config.classification, SHAPE, 0), source.tiles(client)
        projector, _ = initial_projector(one)
        own, labels = np.bincount(tiles.labels, minlength=2), torch.from_numpy(np.array(tiles.labels, np.int64))
        network = one.network.train()
        features = network.represent(to_float(torch.from_numpy(np.array(tiles.tiles))).repeat(2, 1, 1, 1))
        logits = network.head(features[: len(labels)])
        corrected = logits + torch.log(torch.tensor(own / own.sum() / ((losses / counts) ** 0.25 + 1e-5))).float()
        views = features.unflatten(0, (2, -1))
        loss = functional.cross_entropy(corrected, labels) + by_hand(views, labels, projector, prototypes, own)
        whole = nn.ModuleList([network, projector])
        loss.backward()
        with torch.no_grad():
            for value in whole.parameters():
                value -= 0.05 * value.grad
        results.append((len(labels), one.arrays(), [value.detach().numpy() for value in projector.parameters()]))
    state, reports, _ = run(config)
    total = sum(size for size, _, _ in results)
    expected = {name: sum(size / total * arrays[name] for size, arrays, _ in results) for name in start}
    assert_close(shared_arrays(state), expected, 2e-5)
    means = [sum(size / total * each[place] for size, _, each in results) for place in range(4)]
    assert list(state.optimizer) == [f"projector.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")]
    for found, mean in zip(state.optimizer.values(), means, strict=True):
        np.testing.assert_allclose(found, mean, atol=2e-5)
    assert reports[0].num_clients == 2


def test_what_clients_are_told_is_the_same_for_all_and_no_tile_count_of_one(small_store):
    config = experiment(small_store, federation__strategy="fediic")
    grid = RecordingGrid(LocalGrid(client_app, 2))
    run(config, grid=grid)
    told = {}
    for entry in grid.entries:
        if entry.sender == "server" and entry.name.startswith("strategy:"):
            told.setdefault(entry.name, []).append(entry.value)
    assert {"strategy:class-losses", "strategy:prototypes", "strategy:projector.0.weight"} <= set(told)
    for values in told.values():
        np.testing.assert_array_equal(values[0], values[1])
    first, second = told["strategy:prototypes"][0], told["strategy:prototypes"][2]
    assert not np.array_equal(first, second), "each round makes its own"
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)


def test_a_run_that_was_interrupted_ends_as_the_whole_one(small_store, tmp_path):
    config = experiment(small_store, federation__strategy="fediic", federation__num_rounds=3)
    whole, _, _ = run(config)
    rest, reports, _ = run_interrupted(config, tmp_path, rounds=1)
    assert len(reports) == 2
    assert_close(shared_arrays(rest), shared_arrays(whole), 0)
    assert_close(rest.optimizer, whole.optimizer, 0)


def test_a_client_with_one_label_has_a_finite_pass():
    contrast = Contrast(make_projector(5, 0), unit(3, 1024).numpy(), np.ones(3, np.float32))
    tiles = LabelledTiles(np.zeros((4, 16, 16, 3), np.uint8), np.full(4, 2), np.zeros(4, np.int64))
    assert contrast.begin(tiles) == [contrast._projector]
    labels = torch.full((4,), 2)
    loss = functional.cross_entropy(contrast.logits(torch.randn(4, 3)), labels)
    assert loss.item() == 0 and torch.isfinite(contrast.contrast(torch.randn(2, 4, 5), labels))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"task": "gan"}, "is for classifiers, but task is 'gan'"),
        ({"classification.label_weights": "balanced"}, "needs classification.label_weights 'none', but got 'balanced'"),
        ({"classification.label_sampling": "balanced"}, "needs classification.label_sampling 'data', but got"),
        ({"classification.label_smoothing": 0.1}, "needs classification.label_smoothing 0, but got 0.1"),
    ],
)
def test_what_its_formula_does_not_hold_for_is_refused(changes, rule):
    with pytest.raises(ConfigError, match=rule):
        strategy_of(small_experiment({"task": "classification", "federation.strategy": "fediic", **changes}))
