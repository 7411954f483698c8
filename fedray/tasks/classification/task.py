"""What a federation asks of classifiers: see :class:`fedray.tasks.Task`."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import torch

from fedray.config import ClassificationConfig, ExperimentConfig
from fedray.config.classification import OWN_NETWORKS
from fedray.data import LabelledTiles, TileShape, with_synthetic
from fedray.learning import Arrays, Hook, PassReport, check_finite, steps_per_round
from fedray.learning.timed import PassStepper
from fedray.learning.timm_models import weights_file as file_of
from fedray.tasks.base import Exported, Pass
from fedray.tasks.classification.classifier import PART, Classifier
from fedray.tasks.classification.local_pass import local_pass
from fedray.tasks.classification.networks import choice_of
from fedray.tasks.classification.optimizer import ClassifierOptimizer
from fedray.tasks.classification.validation import split_validation

ABILITY = "labels"
COUNTED = PART
LOSSES = {"loss": PART}
INITIALISED = PART
STEP_FIELDS = ("batch_size",)
ENOUGH = None


def make(config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Classifier:
    """Build the classifier."""
    return Classifier(config.classification, shape, config.seed, device, load_weights=load_weights)


def fresh(config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Classifier:
    """Return it as it is before round 1."""
    classifier, initial = _built(config.classification, shape, config.seed, device, load_weights)
    classifier.load(initial)
    return classifier


@lru_cache(maxsize=1)
def _built(
    config: ClassificationConfig, shape: TileShape, seed: int, device: str, load_weights: bool
) -> tuple[Classifier, Arrays]:
    classifier = Classifier(config, shape, seed, device, load_weights=load_weights)
    return classifier, classifier.arrays()


def training(config: ExperimentConfig, tiles: LabelledTiles, client: int) -> LabelledTiles:
    """Return a client's tiles without those that validate, with its synthetic ones, or those alone."""
    real = split_validation(tiles, config.classification, config.seed, client)[0]
    return with_synthetic(config, real, client)


optimizers = ClassifierOptimizer


def steps(config: ExperimentConfig, num_tiles: int) -> int:
    """Count the optimiser steps of a round."""
    federation, batch_size = config.federation, config.classification.batch_size
    return steps_per_round(num_tiles, batch_size, federation.local_epochs, federation.local_steps)


def train(
    config: ExperimentConfig,
    learner: Classifier,
    optimizers: ClassifierOptimizer,
    tiles: LabelledTiles,
    a_pass: Pass,
) -> PassReport:
    """Train the network."""
    return local_pass(
        learner,
        optimizers,
        tiles,
        num_steps=a_pass.num_steps,
        steps_before=a_pass.steps_before,
        num_rounds=config.federation.num_rounds,
        seed=a_pass.seed,
        hooks=a_pass.hooks,
    )


def shared(config: ExperimentConfig) -> Sequence[str]:
    """Name the one part: all of it travels."""
    return (PART,)


def private(config: ExperimentConfig) -> Sequence[str]:
    """Name nothing: no part stays with a client."""
    return ()


def weights_file(config: ExperimentConfig) -> Path | None:
    """Return the file of the network's ImageNet weights, if one is read."""
    if config.classification.network in OWN_NETWORKS:
        return None
    return file_of(choice_of(config.classification))


def judged(config: ExperimentConfig) -> Sequence[str]:
    """Name the one part."""
    return (PART,)


def holding(config: ExperimentConfig, shape: TileShape, device: str, arrays: Arrays) -> Classifier:
    """Return the classifier with some arrays in it."""
    classifier, _ = _built(config.classification, shape, config.seed, device, False)
    classifier.load(arrays)
    return classifier


def exported(config: ExperimentConfig, shape: TileShape, arrays: Arrays) -> Exported:
    """Make a module of the network: tiles, float32 [N, C, size, size] in [-1, 1], in; logits [N, label] out."""
    check_finite(arrays, "the classifier to be logged")
    classifier = make(config, shape, "cpu", load_weights=False)
    classifier.load(arrays)
    tiles = torch.zeros(2, shape.channels, shape.size, shape.size)
    network = classifier.network.eval().to(memory_format=torch.contiguous_format)
    return Exported(PART, network, (tiles,), False, {})


def flattered_by(config: ExperimentConfig) -> str | None:
    """Name nothing: it is judged by the tiles' labels."""
    return None


def steps_between(config: ExperimentConfig) -> int:
    """Return 1: every step is one of the network."""
    return 1


def fewer(config: ExperimentConfig) -> Mapping[str, range]:
    """List smaller batches."""
    return {"batch_size": range(config.classification.batch_size - 1, 1, -1)}


def stepper(config: ExperimentConfig, learner: Classifier, hooks: Sequence[Hook]) -> PassStepper:
    """Return what takes single steps of the network."""
    step = partial(
        local_pass,
        learner,
        ClassifierOptimizer(learner),
        num_steps=1,
        steps_before=0,
        num_rounds=1,
        seed=0,
        hooks=hooks,
    )
    return PassStepper(PART, learner.network, learner.shape, learner.device, step)
