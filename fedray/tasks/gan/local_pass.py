"""One local pass: what a client does with its tiles between two messages from the server."""

from collections.abc import Iterable

import torch

from fedray.data import LabelledTiles
from fedray.learning import Hook, PassReport, RunningMeans, shuffled_batches
from fedray.randomness import derive_seed
from fedray.tasks.gan.gan import Gan
from fedray.tasks.gan.optimizers import Optimizers
from fedray.tasks.gan.steps import GanSteps


def local_pass(
    gan: Gan,
    optimizers: Optimizers,
    client: LabelledTiles,
    *,
    num_steps: int,
    steps_before: int,
    seed: int,
    hooks: Iterable[Hook] = (),
) -> PassReport:
    """Train a GAN on one client's tiles, in place.

    The generator takes a step after every ``n_critic`` discriminator steps, counted over the whole experiment, so that
    rounds shorter than ``n_critic`` train it too. A loss that is not finite ends the pass at once.

    Args:
        gan: The networks, already on their device.
        optimizers: Of these networks.
        client: At least one tile.
        num_steps: Discriminator steps.
        steps_before: Discriminator steps this client took in earlier rounds.
        seed: Address of all draws of this pass.
        hooks: What changes losses and gradients, such as :class:`fedray.learning.Proximal`.
    """
    device, n_critic = gan.device, gan.config.recipe.n_critic
    random = torch.Generator(device).manual_seed(derive_seed(seed, "step"))
    steps = GanSteps(gan, optimizers, random, hooks)
    means = RunningMeans(steps.terms)
    gan.generator.train()
    gan.discriminator.train()
    config = gan.config
    batches = shuffled_batches(
        client, config.batch_size, device, seed, augment=config.augment, channels_last=config.channels_last
    )
    # Dropout layers draw from PyTorch's global state: give them a stream of ours and put the state back afterwards.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "layers"))
        for step in range(steps_before, steps_before + num_steps):
            real, condition = next(batches)
            finite = means.add("discriminator", steps.discriminator(real, condition))
            if finite and (step + 1) % n_critic == 0:
                finite = means.add("generator", steps.generator(condition))
                gan.update_ema(step // n_critic)
            if not finite:
                break
    return means.report(len(client.tiles))
