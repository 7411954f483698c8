"""What travels between server and clients: names of records, and arrays in and out of Flower's records."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from numpy.typing import NDArray

from fedray.config import ExperimentConfig, FederationConfig
from fedray.models import DISCRIMINATOR_PARTS, GENERATOR_PARTS, PARTS, Arrays

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

SHARED_PARTS: dict[str, tuple[str, ...]] = {
    "both": PARTS,
    "generator": GENERATOR_PARTS,
    "discriminator": DISCRIMINATOR_PARTS,
}


def shared_parts(federation: FederationConfig) -> tuple[str, ...]:
    """Parts of the GAN that the server has: it averages them, or (MD-GAN) trains them itself."""
    return GENERATOR_PARTS if federation.mode == "md-gan" else SHARED_PARTS[federation.aggregate]


def private_parts(federation: FederationConfig) -> tuple[str, ...]:
    """Parts of the GAN that stay with each client."""
    return tuple(part for part in PARTS if part not in shared_parts(federation))


def to_record(arrays: Mapping[str, NDArray[np.generic]]) -> ArrayRecord:
    """Wrap named arrays for a message."""
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()})


def from_record(record: ArrayRecord) -> Arrays:
    """Unwrap named arrays of a message."""
    return {name: array.numpy() for name, array in record.items()}


def experiment_record(config: ExperimentConfig) -> ConfigRecord:
    """Wrap the experiment's configuration for a message: a client needs nothing else to know what to do."""
    return ConfigRecord({EXPERIMENT: config.model_dump_json()})


def experiment_of(message: Message) -> ExperimentConfig:
    """Unwrap the experiment's configuration from a message."""
    return _parse(str(message.content.config_records[CONFIG][EXPERIMENT]))


@lru_cache(maxsize=8)
def _parse(text: str) -> ExperimentConfig:
    return ExperimentConfig.model_validate_json(text)
