"""What a federation asks of GANs: see :class:`fedray.tasks.Task`."""

from collections.abc import Sequence
from pathlib import Path

from fedray.config import ExperimentConfig
from fedray.data import LabelledTiles, TileShape
from fedray.learning import PassReport, steps_per_round
from fedray.tasks.base import Pass
from fedray.tasks.gan.backbones import weights_file as file_of
from fedray.tasks.gan.fresh import fresh_gan
from fedray.tasks.gan.gan import Gan
from fedray.tasks.gan.local_pass import local_pass
from fedray.tasks.gan.optimizers import Optimizers
from fedray.tasks.gan.sharing import private_parts, shared_parts


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
