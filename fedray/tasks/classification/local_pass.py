"""One local pass: what a client does with its tiles between two messages from the server."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fedray.data import LabelledTiles
from fedray.learning import ClassifierHook, Condition, Hook, PassReport, RunningMeans, to_float
from fedray.learning.passes import batch_bounds
from fedray.randomness import derive_seed
from fedray.tasks.classification.augmentation import AUGMENTS
from fedray.tasks.classification.classifier import PART, Classifier
from fedray.tasks.classification.optimizer import ClassifierOptimizer, beside, learning_rate


def local_pass(
    classifier: Classifier,
    optimizer: ClassifierOptimizer,
    tiles: LabelledTiles,
    *,
    num_steps: int,
    steps_before: int,
    num_rounds: int,
    seed: int,
    hooks: Iterable[Hook] = (),
) -> PassReport:
    """Train a classifier on one client's tiles, in place. A loss that is not finite ends the pass at once.

    Args:
        classifier: Already on its device.
        optimizer: Of its network.
        tiles: At least one.
        num_steps: Optimiser steps of this round.
        steps_before: Optimiser steps this client took in earlier rounds, as many in each: how far the learning rate has
            fallen.
        num_rounds: Of the experiment.
        seed: Address of all draws of this pass.
        hooks: What adds to the loss, or changes logits, or gradients before they are used.
    """
    config, device, network, hooks = classifier.config, classifier.device, classifier.network, tuple(hooks)
    weights = None
    if config.label_weights == "balanced":
        weights = torch.from_numpy(balanced_weights(tiles.labels, classifier.shape.num_labels)).float().to(device)
    means = RunningMeans({PART: ("loss",)})
    network.train()
    own = _of_classifiers(hooks)
    optimizers = [optimizer, *(beside(config, other) for hook in own for other in hook.begin(tiles))]
    batches = _batches(classifier, tiles, seed, max((hook.views for hook in own), default=1))
    # Dropout layers draw from PyTorch's global state: give them a stream of ours and put the state back afterwards.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "layers"))
        for step in range(steps_before, steps_before + num_steps):
            rate = learning_rate(config, step / num_steps, num_rounds)
            loss = _step_loss(classifier, *next(batches), weights, hooks)
            for each in optimizers:
                each.set_lr(rate)
                each.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for hook in hooks:
                hook.gradient(PART, network)
            for each in optimizers:
                each.step(config.clip_norm)
            if not means.add(PART, {"loss": loss.detach()}):
                break
    return means.report(len(tiles.tiles))


def _step_loss(
    classifier: Classifier, views: Tensor, condition: Condition, weights: Tensor | None, hooks: Sequence[Hook]
) -> Tensor:
    """Compute the loss of a step with what hooks add to it.

    Args:
        classifier: In training mode.
        views: One augmentation of the batch after another, [views x N, C, H, W]: together they are one pass forward.
        condition: Of the N tiles.
        weights: As of :func:`loss_of`.
        hooks: Asked in their order.
    """
    num, network, own = len(condition.labels), cast(Any, classifier.network), _of_classifiers(hooks)
    with classifier.autocast():
        features: Tensor = network.represent(views)
        logits: Tensor = network.head(features[:num])
        terms = [hook.loss(PART, network, views[:num], condition) for hook in hooks]
    logits, by_view = logits.float(), features.float().view(-1, num, features.shape[1])
    for hook in own:
        logits = hook.logits(logits)
        terms.append(hook.contrast(by_view, condition.labels))
    loss = loss_of(logits, condition.labels, weights, classifier.config.label_smoothing)
    return loss + sum(term for term in terms if term is not None)


def _of_classifiers(hooks: Iterable[Hook]) -> list[ClassifierHook]:
    return [hook for hook in hooks if isinstance(hook, ClassifierHook)]


def loss_of(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross entropy, a scalar.

    Args:
        logits: [N, num_labels] float32.
        labels: [N] int64.
        weights: [num_labels] float32, of the tiles by their label; None: all weigh the same.
        smoothing: Share of the target that is spread over all labels.
    """
    return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)


def balanced_weights(labels: NDArray[np.int64], num_labels: int) -> NDArray[np.float64]:
    """Weights with which the labels that there are count alike: n / (labels present x tiles of the label).

    Args:
        labels: [n] int64, at least one.
        num_labels: Of the experiment.

    Returns:
        [num_labels] float64; 0 for a label without a tile, towards which nothing is smoothed either.
    """
    counts = np.bincount(labels, minlength=num_labels)
    present = counts > 0
    weights = np.zeros(num_labels)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights


def epoch_order(labels: Tensor, sampling: str, random: torch.Generator) -> Tensor:
    """Draw the order of an epoch's tiles, int64 [N] positions in ``labels``.

    Args:
        labels: [N] int64, on the CPU.
        sampling: 'data': each tile once. 'balanced': N / (labels that there are) tiles of each label, to rounding;
            where it has fewer, they come equally often, but for one time; where it has more, a part of them comes.
        random: On the CPU.
    """
    if sampling == "data":
        return torch.randperm(len(labels), generator=random)
    present = torch.unique(labels)
    each, more = divmod(len(labels), len(present))
    # Where it does not divide, other labels have one more in every epoch.
    first = torch.randperm(len(present), generator=random)[:more].tolist()
    drawn = []
    for place, label in enumerate(present):
        own, num = torch.nonzero(labels == label).flatten(), each + (place in first)
        times = -(-num // len(own))
        drawn.append(torch.cat([own[torch.randperm(len(own), generator=random)] for _ in range(times)])[:num])
    order = torch.cat(drawn)
    return order[torch.randperm(len(order), generator=random)]


def _batches(classifier: Classifier, tiles: LabelledTiles, seed: int, views: int) -> Iterator[tuple[Tensor, Condition]]:
    """Yield shuffled, augmented batches for ever, epoch after epoch, and what the tiles are.

    A batch is so many views of B tiles, one after another, [views x B, C, H, W] in [-1, 1], each augmented for itself.
    B is at least 2: a client with one tile has it twice in every batch, as BatchNorm has no statistics of one.
    """
    config, device = classifier.config, classifier.device
    pixels = torch.from_numpy(np.require(tiles.tiles, requirements="W")).to(device)
    condition = Condition(*(torch.from_numpy(np.array(part, np.int64)).to(device) for part in tiles[1:]))
    order_random = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    augment_random = torch.Generator().manual_seed(derive_seed(seed, "augment"))
    augment, labels = AUGMENTS[config.augment], torch.from_numpy(np.array(tiles.labels, np.int64))
    while True:
        order = epoch_order(labels, config.label_sampling, order_random)
        order = order.repeat(2) if len(order) == 1 else order
        for start, end in batch_bounds(len(order), config.batch_size):
            indices = order[start:end].to(device)
            batch = to_float(pixels[indices])
            batch = torch.cat([augment(batch, augment_random) for _ in range(views)])
            yield batch.to(memory_format=torch.channels_last), condition.chosen(indices)
