"""What a federation asks of GANs: see :class:`fedray.tasks.Task`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from fedray.config import PROJECTED, ExperimentConfig
from fedray.data import LabelledTiles, TileShape
from fedray.learning import Arrays, Hook, PassReport, check_finite, steps_per_round
from fedray.tasks.base import Enough, Exported, Pass
from fedray.tasks.gan.backbones import weights_file as file_of
from fedray.tasks.gan.fresh import fresh_gan, gan_with
from fedray.tasks.gan.gan import Gan
from fedray.tasks.gan.generators import LabelledGenerator
from fedray.tasks.gan.local_pass import local_pass
from fedray.tasks.gan.optimizers import Optimizers
from fedray.tasks.gan.sharing import private_parts, shared_parts
from fedray.tasks.gan.timed import GanStepper

ABILITY = "samples"
COUNTED = "generator"
LOSSES = {"D": "discriminator", "G": "generator"}
INITIALISED = "discriminator"
STEP_FIELDS = ("batch_size", "n_critic", "objective")
# WGAN-GP, residual, on `colon`, one network that was trained on the tiles of four clients in turns: 704. Averaged
# networks, each of which learns from its own tiles, took more.
ENOUGH = Enough("nuclei", steps=700, noise=100)


def make(config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Gan:
    """Build generator and discriminator."""
    return Gan(config.gan, shape, config.seed, device, load_weights=load_weights)


def fresh(config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Gan:
    """Return them as they are before round 1."""
    return fresh_gan(config.gan, shape, config.seed, device, load_weights=load_weights)


def training(config: ExperimentConfig, tiles: LabelledTiles, client: int) -> LabelledTiles:
    """Return all of a client's tiles."""
    return tiles


optimizers = Optimizers


def steps(config: ExperimentConfig, num_tiles: int) -> int:
    """Count the discriminator steps of a round."""
    federation = config.federation
    return steps_per_round(num_tiles, config.gan.batch_size, federation.local_epochs, federation.local_steps)


def train(
    config: ExperimentConfig, learner: Gan, optimizers: Optimizers, tiles: LabelledTiles, a_pass: Pass
) -> PassReport:
    """Train both networks on a client's tiles."""
    return local_pass(
        learner,
        optimizers,
        tiles,
        num_steps=a_pass.num_steps,
        steps_before=a_pass.steps_before,
        seed=a_pass.seed,
        hooks=a_pass.hooks,
    )


def shared(config: ExperimentConfig) -> Sequence[str]:
    """Name the parts that the server has."""
    return shared_parts(config.federation)


def private(config: ExperimentConfig) -> Sequence[str]:
    """Name the parts that stay with each client."""
    return private_parts(config.federation)


def weights_file(config: ExperimentConfig) -> Path | None:
    """Return the file of the discriminator's ImageNet weights, if one is read."""
    return file_of(config.gan)


def judged(config: ExperimentConfig) -> Sequence[str]:
    """Name the averaged generator."""
    return ("generator_ema",)


def holding(config: ExperimentConfig, shape: TileShape, device: str, arrays: Arrays) -> Gan:
    """Return networks with some arrays in them."""
    return gan_with(arrays, config.gan, shape, config.seed, device)


def exported(config: ExperimentConfig, shape: TileShape, arrays: Arrays) -> Exported:
    """Make a module of the averaged generator: noise, labels and, of several, domains in; tiles out."""
    check_finite(arrays, "the generator to be logged")
    gan = holding(config, shape, "cpu", arrays)
    inputs = [torch.zeros(2, gan.noise_length), torch.zeros(2, dtype=torch.int64)]
    takes_domains = gan.shape.num_domains > 1
    if takes_domains:
        inputs.append(torch.zeros(2, dtype=torch.int64))
    facts = {"latent-dim": gan.noise_length}
    return Exported("generator", LabelledGenerator(gan.generator_ema).eval(), tuple(inputs), takes_domains, facts)


def flattered_by(config: ExperimentConfig) -> str | None:
    """Name the network of photographs that heads on its features train against."""
    return "efficientnet-lite0" if config.gan.discriminator == PROJECTED else None


def steps_between(config: ExperimentConfig) -> int:
    """Return n_critic."""
    return config.gan.recipe.n_critic


def fewer(config: ExperimentConfig) -> Mapping[str, range]:
    """List smaller n_critic and batches."""
    gan = config.gan
    return {"n_critic": range(gan.recipe.n_critic - 1, 0, -1), "batch_size": range(gan.batch_size - 1, 1, -1)}


def stepper(config: ExperimentConfig, learner: Gan, hooks: Sequence[Hook]) -> GanStepper:
    """Return what takes single steps of both networks."""
    return GanStepper(learner, hooks)
