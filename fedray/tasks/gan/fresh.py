"""The networks of an experiment as they are before its first round: built once a process, and put back every time."""

from functools import lru_cache

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Arrays
from fedray.tasks.gan.gan import Gan


def fresh_gan(config: GanConfig, shape: TileShape, seed: int, device: str, *, load_weights: bool = True) -> Gan:
    """Return the experiment's networks as they are before round 1. One GAN a process: it is valid until the next call.

    Building a large network and reading its ImageNet weights takes longer than a client's round may.

    Args:
        config: Of the networks.
        shape: Of the tiles.
        seed: Of the experiment.
        device: Where they compute.
        load_weights: Whether ImageNet weights are wanted, if they are configured.

    Raises:
        ModelError: The networks cannot be built.
    """
    gan, initial = _built(config, shape, seed, device, load_weights and config.initialisation == "imagenet")
    gan.load(initial)
    return gan


def gan_with(arrays: Arrays, config: GanConfig, shape: TileShape, seed: int, device: str) -> Gan:
    """Return networks with some arrays in them, and whatever was there before in the others: to sample from those.

    One GAN a process, the same as of :func:`fresh_gan`. Arguments and errors as there.
    """
    gan, _ = _built(config, shape, seed, device, False)
    gan.load(arrays)
    return gan


@lru_cache(maxsize=1)
def _built(config: GanConfig, shape: TileShape, seed: int, device: str, load_weights: bool) -> tuple[Gan, Arrays]:
    gan = Gan(config, shape, seed, device, load_weights=load_weights)
    return gan, gan.arrays()
