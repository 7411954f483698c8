"""What a federation asks of flow matching: see :class:`fedray.tasks.Task`."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import torch

from fedray.config import ExperimentConfig, FlowConfig
from fedray.data import LabelledTiles, TileShape
from fedray.learning import Arrays, Hook, PassReport, check_finite, steps_per_round
from fedray.learning.timed import PassStepper
from fedray.tasks.base import Enough, Exported, Pass
from fedray.tasks.flow.flow import AVERAGE, PART, PARTS, Flow, LabelledSampler
from fedray.tasks.flow.local_pass import local_pass
from fedray.tasks.flow.optimizer import FlowOptimizer

ABILITY = "samples"
COUNTED = PART
LOSSES = {"loss": PART}
INITIALISED = PART
STEP_FIELDS = ("batch_size",)
# On `colon`, centralised: 100 steps gave blots of the right colours, 1,000 stained tissue with nuclei in its stroma.
ENOUGH = Enough("nuclei", steps=1000, noise=100)


def make(config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Flow:
    """Build the network and its average."""
    return Flow(config.flow, shape, config.seed, device)


def fresh(config: ExperimentConfig, shape: TileShape, device: str, *, load_weights: bool = True) -> Flow:
    """Return them as they are before round 1."""
    flow, initial = _built(config.flow, shape, config.seed, device)
    flow.load(initial)
    return flow


@lru_cache(maxsize=1)
def _built(config: FlowConfig, shape: TileShape, seed: int, device: str) -> tuple[Flow, Arrays]:
    flow = Flow(config, shape, seed, device)
    return flow, flow.arrays()


def training(config: ExperimentConfig, tiles: LabelledTiles, client: int) -> LabelledTiles:
    """Return all of a client's tiles."""
    return tiles


optimizers = FlowOptimizer


def steps(config: ExperimentConfig, num_tiles: int) -> int:
    """Count the optimiser steps of a round."""
    federation = config.federation
    return steps_per_round(num_tiles, config.flow.batch_size, federation.local_epochs, federation.local_steps)


def train(
    config: ExperimentConfig, learner: Flow, optimizers: FlowOptimizer, tiles: LabelledTiles, a_pass: Pass
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
    """Name both parts: all of it travels."""
    return PARTS


def private(config: ExperimentConfig) -> Sequence[str]:
    """Name nothing: no part stays with a client."""
    return ()


def weights_file(config: ExperimentConfig) -> Path | None:
    """Return None: it begins at random."""
    return None


def judged(config: ExperimentConfig) -> Sequence[str]:
    """Name the averaged network."""
    return (AVERAGE,)


def holding(config: ExperimentConfig, shape: TileShape, device: str, arrays: Arrays) -> Flow:
    """Return networks with some arrays in them."""
    flow, _ = _built(config.flow, shape, config.seed, device)
    flow.load(arrays)
    return flow


def exported(config: ExperimentConfig, shape: TileShape, arrays: Arrays) -> Exported:
    """Make a module of the averaged network and its sampler: noise, labels and, of several, domains in; tiles out."""
    check_finite(arrays, "the network to be logged")
    flow = make(config, shape, "cpu")
    flow.load(arrays)
    inputs = [torch.zeros(2, shape.channels, shape.size, shape.size), torch.zeros(2, dtype=torch.int64)]
    takes_domains = shape.num_domains > 1
    if takes_domains:
        inputs.append(torch.zeros(2, dtype=torch.int64))
    options = config.flow
    facts = {
        "noise-shape": list(inputs[0].shape[1:]),
        "sampler": options.sampler,
        "steps": options.steps,
        "guidance": options.guidance,
    }
    return Exported("generator", LabelledSampler(flow).eval(), tuple(inputs), takes_domains, facts)


def flattered_by(config: ExperimentConfig) -> str | None:
    """Name nothing: it trains against no features."""
    return None


def steps_between(config: ExperimentConfig) -> int:
    """Return 1: every step is one of the network."""
    return 1


def fewer(config: ExperimentConfig) -> Mapping[str, range]:
    """List smaller batches."""
    return {"batch_size": range(config.flow.batch_size - 1, 1, -1)}


def stepper(config: ExperimentConfig, learner: Flow, hooks: Sequence[Hook]) -> PassStepper:
    """Return what takes single steps of the network."""
    step = partial(
        local_pass, learner, FlowOptimizer(learner), num_steps=1, steps_before=0, num_rounds=1, seed=0, hooks=hooks
    )
    return PassStepper(PART, learner.network, learner.shape, learner.device, step)
