"""Strategies by name: one module each, with a half for the server and a half for the clients."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import cast

from flwr.serverapp.strategy import FedAvg, Strategy

from fedray.config import ExperimentConfig
from fedray.data import TileShape
from fedray.federation.privacy import NoisyMean
from fedray.federation.strategies.base import Algorithm, ClientHalf, KeepsState, mean_losses
from fedray.federation.strategies.robust import TooFewRepliesError
from fedray.tasks import task_of

__all__ = [
    "ClientHalf",
    "KeepsState",
    "TooFewRepliesError",
    "algorithm_of",
    "client_half",
    "make_strategy",
    "mean_losses",
]


def make_strategy(config: ExperimentConfig, shape: TileShape) -> Strategy:
    """Build the server's half of the configured strategy, for networks of tiles of a shape.

    Raises:
        ConfigError: The configuration does not go with it.
    """
    make = partial(task_of(config).make, config, shape, "cpu", load_weights=False)
    with _unwarned():
        strategy = algorithm_of(config.federation.strategy).server(config, make)
    if not config.privacy.on:
        return strategy
    assert isinstance(strategy, FedAvg), "the configuration allows privacy with a mean alone"
    return NoisyMean(strategy, config)


@contextmanager
def _unwarned() -> Iterator[None]:
    """Hide that Flower's strategies warn of what is meant: that clients evaluate nothing."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def client_half(config: ExperimentConfig) -> ClientHalf:
    """Build the clients' half of the configured strategy, for one round of one client."""
    return algorithm_of(config.federation.strategy).client(config)


def algorithm_of(name: str) -> Algorithm:
    """Return the module of a name of :data:`fedray.config.STRATEGIES`."""
    return cast(Algorithm, import_module(f"{__name__}.{name.replace('-', '_')}"))
