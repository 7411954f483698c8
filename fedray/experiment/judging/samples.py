"""Judging who makes tiles: sample some, score them against real ones, keep a few to look at."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedray.config import ConfigError, ExperimentConfig
from fedray.data import TileStore, local_store, tile_shape
from fedray.evaluation import (
    Evaluator,
    Scores,
    cached_evaluator,
    check_compared,
    check_extractor,
    compared_indices,
    described_protocol,
    settled_extractor,
)
from fedray.evaluation import score_names as names_of_scores
from fedray.experiment.judging.base import Evaluation, Heading, Judge
from fedray.federation import FederationState, sample_from_clients
from fedray.learning import Arrays, training_device
from fedray.randomness import torch_stream
from fedray.results.files import SAMPLES, SELF_TEST_PICTURE
from fedray.results.pictures import Preview
from fedray.tasks import Sampler, task_of

FILES = (SAMPLES, SELF_TEST_PICTURE)
BESIDE = ("real tiles", "(floor)")
RUNS = "experiments"

PREVIEW_TILES = 8
"""Tiles per label that are kept to look at."""

_UNFLATTERED = "domain-cnn"
"""The features that judge who trained against the default's."""


def check(config: ExperimentConfig, store: TileStore) -> None:
    """Refuse a store with too few tiles, or that the extractor cannot work on."""
    check_compared(store, config.evaluation)
    check_extractor(store, config.evaluation)


def settled(config: ExperimentConfig, store: TileStore) -> Mapping[str, Any]:
    """Return how many tiles are compared, and in which features: of those from a file, all that is known of them."""
    num_compared = len(compared_indices(store, config.evaluation))
    wanted, split = config.evaluation.num_samples, config.evaluation.split
    if wanted is not None and wanted > num_compared:
        raise ConfigError(
            f"evaluation.num_samples must be at most the number of {split} tiles, {num_compared} in {store.name!r}, "
            f"but got {wanted}; leave it out to compare all of them"
        )
    return {"num_samples": num_compared, "extractor": _extractor(config), **settled_extractor(config.evaluation)}


def score_names(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Name the scores of the evaluator."""
    return names_of_scores(config.evaluation, store)


def notes(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Say what the name of an extractor from a file stands for; the self-test says the rest."""
    return [told] if (told := described_protocol(config.evaluation)) else []


def prepare(config: ExperimentConfig) -> tuple[Judge, Mapping[str, bytes]]:
    """Train the extractor and measure the real tiles, unless that was done before."""
    return Evaluator.prepare_portable(local_store(config.data), config.evaluation)


def evaluate(config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
    """Sample a round's learner and score its tiles; the round addresses the noise."""
    started = time.monotonic()
    sampler = _holding(config, arrays)
    labels, domains = wanted(config)
    tiles = sampler.sample(labels, torch_stream(config.seed, "evaluation", round_index), domains)
    shown = _preview(config, sampler)
    return Evaluation(_score(config, tiles, labels, domains), shown, time.monotonic() - started)


def preview(config: ExperimentConfig, arrays: Arrays) -> Preview | None:
    """Sample a few tiles without scoring them: before the first round nothing was learned."""
    return _preview(config, _holding(config, arrays))


def wanted(config: ExperimentConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and domains, both [N] int64, that generated tiles must have to be compared with the real ones."""
    store = local_store(config.data)
    indices = compared_indices(store, config.evaluation)
    return store.labels[indices].astype(np.int64), store.domains[indices].astype(np.int64)


def ask_clients(grid: Grid, config: ExperimentConfig, state: FederationState) -> NDArray[np.uint8]:
    """Let the clients generate a tile for each of :func:`wanted`, an equal share each."""
    return sample_from_clients(grid, config, state, *wanted(config))


def evaluate_answers(config: ExperimentConfig, answers: NDArray[np.uint8]) -> Evaluation:
    """Score tiles that were generated elsewhere, one for each of :func:`wanted`."""
    started = time.monotonic()
    labels, domains = wanted(config)
    num_labels = tile_shape(config.data).num_labels
    chosen = [np.resize(np.flatnonzero(labels == label), PREVIEW_TILES) for label in range(num_labels)]
    return Evaluation(_score(config, answers, labels, domains), answers[np.stack(chosen)], time.monotonic() - started)


def heading(config: ExperimentConfig) -> Heading:
    """Say what stands above the final scores."""
    whose = "clients'" if config.federation.personal else "averaged"
    return Heading(f"Scores of the {whose} {task_of(config).COUNTED}", "generated", "real tiles (floor)")


def _extractor(config: ExperimentConfig) -> str:
    """Features that something trained against flatter its tiles, so others judge them unless they were asked for."""
    chosen = config.evaluation.chosen_extractor
    flattered = config.evaluation.extractor is None and task_of(config).flattered_by(config) == chosen
    return _UNFLATTERED if flattered else chosen


def _holding(config: ExperimentConfig, arrays: Arrays) -> Sampler:
    device = training_device(config.resources)
    sampler: Sampler = task_of(config).holding(config, tile_shape(config.data), device, arrays)
    return sampler


def _preview(config: ExperimentConfig, sampler: Sampler) -> Preview:
    labels = np.repeat(np.arange(tile_shape(config.data).num_labels), PREVIEW_TILES)
    tiles = sampler.sample(labels, torch_stream(config.seed, "preview"))
    return tiles.reshape(-1, PREVIEW_TILES, *tiles.shape[1:])


def _score(
    config: ExperimentConfig, tiles: NDArray[np.uint8], labels: NDArray[np.int64], domains: NDArray[np.int64]
) -> Scores:
    evaluator = cached_evaluator(local_store(config.data), config.evaluation, training_device(config.resources))
    return evaluator.scores(tiles, labels, domains)
