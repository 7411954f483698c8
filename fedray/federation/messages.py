"""What travels between server and clients: names of records, and arrays in and out of Flower's records."""

from collections.abc import Mapping
from functools import lru_cache
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.learning import Arrays
from fedray.simulation import SharedArray

ARRAYS = "arrays"
"""Record of the shared parts, down and up."""
METRICS = "metrics"
"""Record of a client's losses and step counts."""
CONFIG = "config"
"""Record with the experiment's configuration as JSON under ``experiment``, and ``server-round``."""
EXPERIMENT = "experiment"
ROUND = "server-round"
WEIGHT = "weight"
"""Metric of what a client weighs in the mean."""
NUM_EXAMPLES = "num-examples"

STEPS = "-steps"
"""Ends the name of the count of a network's steps: ``NETWORK-steps`` goes with the losses ``NETWORK/*``."""


def counts_of(metrics: Mapping[str, object]) -> dict[str, float]:
    """Pick what is summed over the clients, not averaged: tiles, and steps of every network."""
    names = [name for name in metrics if name == NUM_EXAMPLES or name.endswith(STEPS)]
    return {name: float(cast(float, metrics[name])) for name in names}


def losses_of(metrics: Mapping[str, object]) -> dict[str, float]:
    """Pick the losses, named ``NETWORK/*``: means over the steps of that network."""
    return {name: float(value) for name, value in metrics.items() if "/" in name and isinstance(value, int | float)}


def to_record(arrays: Mapping[str, NDArray[np.generic]]) -> ArrayRecord:
    """Wrap named arrays for a message."""
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()})


def from_record(record: ArrayRecord) -> Arrays:
    """Unwrap named arrays of a message."""
    return {name: array.numpy() for name, array in record.items()}


def views_of(record: ArrayRecord) -> Arrays:
    """Unwrap named arrays to be read only: without a copy where their memory is there."""
    return {name: array.view() if isinstance(array, SharedArray) else array.numpy() for name, array in record.items()}


def experiment_record(config: ExperimentConfig) -> ConfigRecord:
    """Wrap the experiment's configuration for a message: a client needs nothing else to know what to do."""
    return ConfigRecord({EXPERIMENT: config.model_dump_json()})


def experiment_of(message: Message) -> ExperimentConfig:
    """Unwrap the experiment's configuration from a message."""
    return _parse(str(message.content.config_records[CONFIG][EXPERIMENT]))


@lru_cache(maxsize=8)
def _parse(text: str) -> ExperimentConfig:
    return ExperimentConfig.model_validate_json(text)
