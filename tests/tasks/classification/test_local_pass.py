"""One local pass against a plain PyTorch loop, and its loss against scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from fedray.data import LabelledTiles
from fedray.learning import ClassifierHook, Hook
from fedray.randomness import derive_seed
from fedray.tasks.classification import ClassifierOptimizer, balanced_weights, local_pass
from fedray.tasks.classification.local_pass import epoch_order, loss_of
from tests.support.classifiers import NETWORKS, classifier, tiles


def train(one, client, optimizer=None, **fields):
    optimizer = optimizer or ClassifierOptimizer(one)
    return local_pass(
        one, optimizer, client, **{"num_steps": 4, "steps_before": 0, "num_rounds": 2, "seed": 5, **fields}
    )


@pytest.mark.parametrize("network", ["cnn", "test_efficientnet"])
def test_a_pass_is_a_plain_pytorch_loop(network):
    client = tiles(20)
    fields = {"network": network, "lr": 0.01, "label_smoothing": 0.1, "label_weights": "balanced", "clip_norm": 0.5}
    one, plain = classifier(**fields), classifier(**fields)
    report = train(one, client, num_steps=6, steps_before=6)

    pixels = torch.from_numpy(client.tiles).permute(0, 3, 1, 2).float() / 127.5 - 1
    labels = torch.from_numpy(client.labels)
    weights = torch.tensor(compute_class_weight("balanced", classes=np.arange(3), y=client.labels)).float()
    criterion = nn.CrossEntropyLoss(weight=weights, label_smoothing=0.1)
    groups = [
        {"params": [value for value in plain.network.parameters() if value.dim() > 1]},
        {"params": [value for value in plain.network.parameters() if value.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, eta_min=1e-4)
    order, losses = torch.Generator().manual_seed(derive_seed(5, "batches")), []
    plain.network.train()
    positions = torch.cat([torch.randperm(20, generator=order) for _ in range(2)]).tolist()
    batches = [
        positions[start:end]
        for epoch in (0, 20)
        for start, end in ((epoch, epoch + 8), (epoch + 8, epoch + 16), (epoch + 16, epoch + 20))
    ]
    optimizer.step()  # PyTorch warns of a schedule that goes before its optimiser
    for number, batch in enumerate(batches):
        schedule.step(1 + number / 6)
        optimizer.zero_grad()
        loss = criterion(plain.network(pixels[batch]), labels[batch])
        loss.backward()
        nn.utils.clip_grad_norm_(plain.network.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    assert report.losses == {"classifier/loss": pytest.approx(np.mean(losses), rel=1e-3)}
    assert (report.num_examples, report.steps) == (20, {"classifier": 6})
    for name, value in one.arrays().items():
        np.testing.assert_allclose(value, plain.arrays()[name], atol=2e-3, err_msg=name)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_few_passes_tell_labels_apart(network):
    one, client = classifier(network=network, lr=3e-3), tiles(24)
    optimizer = ClassifierOptimizer(one)
    first = train(one, client, optimizer, num_steps=40, num_rounds=2)
    second = train(one, client, optimizer, num_steps=40, steps_before=40, num_rounds=2, seed=6)
    assert second.losses["classifier/loss"] < first.losses["classifier/loss"]
    assert (one.logits(tiles(24, seed=1).tiles).argmax(1) == tiles(24).labels).mean() > 0.8


def test_a_pass_is_the_same_again_and_leaves_the_global_stream_alone():
    fields = {"network": "test_efficientnet", "augment": "geometric", "dropout": 0.5}
    torch.manual_seed(7)
    state, found = torch.get_rng_state(), []
    for seed in (5, 5, 6):
        one = classifier(**fields)
        train(one, tiles(), seed=seed)
        found.append(one.arrays()["classifier.head.1.weight"])
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("num", [1, 9])
def test_batch_norm_is_never_shown_a_single_tile(num):
    """One tile alone, or one that is left over by batches of 8."""
    one = classifier(network="test_efficientnet")
    assert train(one, tiles(num)).steps == {"classifier": 4}


def test_a_hook_sees_the_gradient_before_the_step():
    one, seen = classifier(), []
    before = one.arrays()

    class Erase(Hook):
        def gradient(self, name, network):
            seen.append(name)
            for parameter in network.parameters():
                parameter.grad.zero_()

    train(one, tiles(), hooks=[Erase()])
    assert seen == ["classifier"] * 4
    biases = [name for name in before if name.endswith("bias")]
    assert biases and all(np.array_equal(one.arrays()[name], before[name]) for name in biases), "nothing but decay"


def test_a_hook_adds_a_term_of_the_batch_to_the_loss():
    client, seen = tiles(), []

    class Add(Hook):
        def loss(self, name, network, batch, condition):
            seen.append((batch.shape, condition.labels.tolist()))
            return 3.0 + 0.0 * network.represent(batch, condition).sum()

    plain, added = (train(classifier(), client, hooks=hooks) for hooks in ([], [Add()]))
    assert added.losses["classifier/loss"] == pytest.approx(plain.losses["classifier/loss"] + 3)
    assert [shape for shape, _ in seen] == [(8, 3, 16, 16), (4, 3, 16, 16)] * 2
    assert sorted(seen[0][1] + seen[1][1]) == sorted(client.labels.tolist())


def test_a_loss_that_is_not_finite_ends_the_pass():
    one = classifier()
    one.load({"classifier.head.1.bias": np.array([0.0, np.inf, 0.0], np.float32)})
    report = train(one, tiles())
    assert report.steps == {"classifier": 1}
    assert not np.isfinite(report.losses["classifier/loss"])


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2], [1, 1, 1, 0]])
def test_balanced_weights_are_scikit_learns(labels):
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    found = balanced_weights(np.array(labels), 4)
    np.testing.assert_allclose(found[np.unique(labels)], expected)
    assert (np.delete(found, np.unique(labels)) == 0).all()


def test_smoothing_a_label_that_the_client_lacks_asks_for_nothing():
    logits = torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    weights = torch.tensor(balanced_weights(np.array([0, 1]), 3)).float()
    loss_of(logits, torch.tensor([0]), weights, 0.3).backward()
    p = logits.detach().softmax(1)[0]
    # 0.3 spread over three labels, of which one weighs nothing
    target = torch.tensor([0.7 + 0.1, 0.1, 0.0])
    torch.testing.assert_close(logits.grad[0], target.sum() * p - target)


def test_domains_and_augmentation_do_not_change_the_tiles_of_the_client():
    client = tiles()
    before = LabelledTiles(*(part.copy() for part in client))
    train(classifier(augment="geometric"), client)
    for part, kept in zip(client, before, strict=True):
        np.testing.assert_array_equal(part, kept)


def test_bfloat16_computes_close_to_float32():
    found = []
    for precision in ("float32", "bfloat16"):
        one = classifier(precision=precision)
        found.append(train(one, tiles()).losses["classifier/loss"])
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.05)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((70, 25, 5), (34, 33, 33)), ((90, 0, 10), (50, 0, 50)), ((3, 3, 4), (4, 3, 3)), ((1, 0, 0), (1, 0, 0))],
)
def test_a_balanced_epoch_is_as_long_and_has_the_rare_labels_again_and_again(counts, expected):
    labels = torch.from_numpy(np.repeat(np.arange(3), counts))
    random, seen, most = torch.Generator().manual_seed(0), np.zeros(len(labels), int), []
    for _ in range(60):
        order = epoch_order(labels, "balanced", random)
        found = np.bincount(labels[order], minlength=3)
        assert len(order) == len(labels) and sorted(found) == sorted(expected)
        for label in np.flatnonzero(counts):
            times = np.bincount(order, minlength=len(labels))[labels.numpy() == label]
            assert np.ptp(times) <= 1, "within an epoch a label's tiles come equally often, but for one time"
        seen += np.bincount(order, minlength=len(labels))
        most.append(tuple(np.flatnonzero(found == found.max())))
    assert seen.min() > 0, "no tile is never seen"
    assert len(set(most)) > 1 or max(expected) == min(each for each in expected if each), "the odd place goes round"
    plain = epoch_order(labels, "data", random)
    assert sorted(plain.tolist()) == list(range(len(labels)))


def test_oversampling_finds_a_rare_label_in_as_many_steps():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [57, 3])
    client = tiles(60)._replace(labels=labels)
    light = (90 + 30 * labels[:, None, None, None] + random.integers(-60, 61, client.tiles.shape)).astype(np.uint8)
    client, recalls = client._replace(tiles=light), {}
    for sampling in ("data", "balanced"):
        one = classifier(label_sampling=sampling, lr=3e-3)
        report = train(one, client, num_steps=24, num_rounds=1)
        assert report.steps == {"classifier": 24} and report.num_examples == 60
        recalls[sampling] = (one.logits(client.tiles).argmax(1) == labels)[labels == 1].mean()
    assert recalls["balanced"] == 1 > recalls["data"]


class Looking(ClassifierHook):
    """Keeps what a step shows it; its own network is a constant that wants to be 1."""

    views = 2

    def __init__(self):
        self.own, self.seen, self.tiles = nn.Linear(1, 1), [], None

    def begin(self, tiles):
        self.tiles = tiles
        return [self.own]

    def logits(self, logits):
        return logits + torch.tensor([0.0, 0.0, -torch.inf])

    def contrast(self, features, labels):
        self.seen.append(features.detach())
        return (self.own(torch.ones(1)) - 1).square().sum()


@pytest.mark.parametrize("augment", ["none", "histology"])
def test_a_classifiers_hook_sees_views_and_trains_networks_beside_it(augment):
    hook, plain, one = Looking(), classifier(augment=augment), classifier(augment=augment)
    given = tiles(8)
    given = given._replace(labels=given.labels % 2)  # the third label is out of the softmax
    before = hook.own.weight.item()
    for each, hooks in ((plain, ()), (one, (hook,))):
        local_pass(
            each, ClassifierOptimizer(each), given, num_steps=5, steps_before=0, num_rounds=1, seed=3, hooks=hooks
        )
    assert hook.tiles is given and [view.shape[:2] for view in hook.seen] == [(2, 8)] * 5
    alike = [torch.allclose(view[0], view[1], atol=1e-5) for view in hook.seen]
    assert all(alike) if augment == "none" else not any(alike), "each view is augmented for itself"
    assert hook.own.weight.item() != before and torch.isfinite(hook.own.weight).all()
    found, start = (each.arrays()["classifier.head.1.bias"] for each in (one, classifier()))
    assert found[2] == start[2] and plain.arrays()["classifier.head.1.bias"][2] != start[2]
