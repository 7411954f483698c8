"""One local pass: what a client does with its tiles between two messages from the server."""

from collections.abc import Iterable

import torch

from fedray.data import LabelledTiles
from fedray.learning import Hook, PassReport, RunningMeans, shuffled_batches
from fedray.randomness import derive_seed
from fedray.tasks.flow.conditions import withheld
from fedray.tasks.flow.flow import PART, Flow
from fedray.tasks.flow.optimizer import FlowOptimizer, learning_rate
from fedray.tasks.flow.paths import draw, losses_of


def local_pass(
    flow: Flow,
    optimizer: FlowOptimizer,
    tiles: LabelledTiles,
    *,
    num_steps: int,
    steps_before: int,
    num_rounds: int,
    seed: int,
    hooks: Iterable[Hook] = (),
) -> PassReport:
    """Train a velocity network on one client's tiles, in place. A loss that is not finite ends the pass at once.

    Args:
        flow: Already on its device.
        optimizer: Of its network.
        tiles: At least one.
        num_steps: Optimiser steps of this round.
        steps_before: Optimiser steps this client took in earlier rounds, as many in each: where the learning rate is.
        num_rounds: Of the experiment.
        seed: Address of all draws of this pass.
        hooks: What adds to the loss, or changes gradients before they are used.
    """
    config, device, network = flow.config, flow.device, flow.network
    random = torch.Generator(device).manual_seed(derive_seed(seed, "step"))
    domain_dropout = config.domain_dropout if flow.shape.num_domains > 1 else 0.0
    means = RunningMeans({PART: ("loss",)})
    network.train()
    batches = shuffled_batches(tiles, config.batch_size, device, seed, augment=config.augment, channels_last=True)
    for step in range(steps_before, steps_before + num_steps):
        optimizer.set_lr(learning_rate(config, (step + 0.5) / (num_steps * num_rounds)))
        batch, condition = next(batches)
        noise, times = draw(batch, config.times, random)
        known = withheld(condition, config.label_dropout, domain_dropout, random)
        with flow.autocast():
            losses = losses_of(lambda points, at, known=known: network(points, at, known), batch, noise, times)  # type: ignore[misc]
            terms = [hook.loss(PART, network, batch, condition) for hook in hooks]
        loss = losses.mean() + sum(term for term in terms if term is not None)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for hook in hooks:
            hook.gradient(PART, network)
        optimizer.step(config.clip_norm)
        flow.update_average(step)
        if not means.add(PART, {"loss": loss.detach()}):
            break
    return means.report(len(tiles.tiles))
