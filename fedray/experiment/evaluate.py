"""Judging one round's generator: sample tiles, score them, keep a few to look at."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import local_store, tile_shape
from fedray.evaluation import Scores, cached_evaluator, compared_indices
from fedray.learning import Arrays, training_device
from fedray.randomness import torch_stream
from fedray.results.pictures import Preview
from fedray.tasks.gan import Gan, gan_with

PREVIEW_TILES = 8
"""Tiles per label that are kept to look at."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a round's generator and some of its tiles."""

    scores: Scores
    preview: Preview
    seconds: float = 0.0
    """What it took."""
    validation: float | None = None
    """Loss on tiles that the clients hold back, where they do."""


def evaluate_generator(config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
    """Sample the averaged generator of a round and score it. Runs on a worker, so its arguments are plain values.

    Args:
        config: Of the experiment.
        round_index: Rounds done; addresses the noise.
        arrays: At least ``generator_ema.*``.
    """
    started = time.monotonic()
    gan = _with_generator(config, arrays)
    labels, domains = wanted_tiles(config)
    tiles = gan.sample(labels, torch_stream(config.seed, "evaluation", round_index), domains)
    preview = _preview(config, gan)
    return Evaluation(_score(config, tiles, labels), preview, time.monotonic() - started)


def preview_tiles(config: ExperimentConfig, arrays: Arrays) -> Preview:
    """Sample a few tiles of the averaged generator without scoring it: before the first round it has learned nothing.

    Args:
        config: Of the experiment.
        arrays: At least ``generator_ema.*``.
    """
    return _preview(config, _with_generator(config, arrays))


def evaluate_tiles(config: ExperimentConfig, tiles: NDArray[np.uint8]) -> Evaluation:
    """Score tiles that were generated elsewhere, one for each of :func:`wanted_tiles`."""
    started = time.monotonic()
    labels, _ = wanted_tiles(config)
    num_labels = tile_shape(config.data).num_labels
    chosen = [np.resize(np.flatnonzero(labels == label), PREVIEW_TILES) for label in range(num_labels)]
    return Evaluation(_score(config, tiles, labels), tiles[np.stack(chosen)], time.monotonic() - started)


def wanted_tiles(config: ExperimentConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and domains, both [N] int64, that generated tiles must have to be compared with the real ones."""
    store = local_store(config.data)
    indices = compared_indices(store, config.evaluation)
    return store.labels[indices].astype(np.int64), store.domains[indices].astype(np.int64)


def _with_generator(config: ExperimentConfig, arrays: Arrays) -> Gan:
    averaged = {name: value for name, value in arrays.items() if name.startswith("generator_ema.")}
    return gan_with(averaged, config.gan, tile_shape(config.data), config.seed, training_device(config.resources))


def _preview(config: ExperimentConfig, gan: Gan) -> Preview:
    labels = np.repeat(np.arange(gan.shape.num_labels), PREVIEW_TILES)
    tiles = gan.sample(labels, torch_stream(config.seed, "preview"))
    return tiles.reshape(-1, PREVIEW_TILES, *tiles.shape[1:])


def _score(config: ExperimentConfig, tiles: NDArray[np.uint8], labels: NDArray[np.int64]) -> Scores:
    device = training_device(config.resources)
    return cached_evaluator(local_store(config.data), config.evaluation, device).scores(tiles, labels)
