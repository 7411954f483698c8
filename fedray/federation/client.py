"""The Flower ClientApp: one local pass on one client's partition, and sampling from a client's generator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedray.config import DataConfig, ExperimentConfig
from fedray.data import LabelledTiles, TileShape, TileSource, TileStore, external_store, local_store
from fedray.federation.divergence import check_losses, report_divergence
from fedray.federation.handed import with_handed
from fedray.federation.messages import (
    ARRAYS,
    CONFIG,
    METRICS,
    NUM_EXAMPLES,
    ROUND,
    STEPS,
    WEIGHT,
    experiment_of,
    from_record,
    to_record,
)
from fedray.federation.privacy import protect, trained_alone
from fedray.federation.sites import CENSUS, described, source_of
from fedray.federation.strategies import client_half
from fedray.federation.strategies.base import parted, separated
from fedray.federation.weighting import client_weight
from fedray.learning import Arrays, Learner, PassReport, check_finite, training_device
from fedray.randomness import derive_seed, torch_stream
from fedray.tasks import Moments, Pass, shared_parts, task_of

PRIVATE = "private-parts"
OPTIMIZER = "optimizer"
OF_STRATEGY = "strategy"
OWN = "own"
WANTED = "wanted"
LABELS = "labels"
DOMAINS = "domains"
TILES = "tiles"
LOGITS = "logits"

JUDGED_STORES: dict[str, Callable[[DataConfig], TileStore | None]] = {"store": local_store, "held-out": external_store}
"""Whose tiles a client judges when it is asked for :func:`judge`."""

client_app = ClientApp(mods=[report_divergence, protect])


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Take the server's arrays, train on the client's tiles, reply with the shared parts and the losses."""
    config = experiment_of(message)
    source, round_index = source_of(config, message, context), round_of(message)
    client = _trained_on(config, source, context, round_index)
    where = f"round {round_index}, client {client_id(context)}"
    networks, told = separated(from_record(message.content.array_records[ARRAYS]))
    learner = client_learner(config, context, source.shape(), networks)
    optimizers = kept_optimizers(config, context, learner)
    half, num_steps = client_half(config), client_steps(config, client)
    a_pass = Pass(
        num_steps=num_steps,
        steps_before=(round_index - 1) * num_steps,
        seed=derive_seed(config.seed, "client", round_index, client_id(context)),
        hooks=half.begin(learner, told, kept_by(context)),
    )
    report = task_of(config).train(config, learner, optimizers, client, a_pass)
    check_losses(report.losses, where)
    arrays, own = parted(half.end(learner, report.steps), half.own(learner))
    check_finite(arrays, where)
    if config.privacy.on:
        arrays = trained_alone(arrays, learner.trained(shared_parts(config)))
    of_strategy = {OF_STRATEGY: half.keep(), OWN: own}
    keep_private(config, context, learner, optimizers, task_of(config).private(config), where, of_strategy)
    metrics = MetricRecord({WEIGHT: client_weight(config.federation, client.labels), **report_metrics(report)})
    return Message(RecordDict({ARRAYS: to_record(arrays), METRICS: metrics}), reply_to=message)


@client_app.query("ask")
def ask(message: Message, context: Context) -> Message:
    """Answer what the strategy asks before a round, of the networks that it begins with."""
    config = experiment_of(message)
    source, round_index = source_of(config, message, context), round_of(message)
    tiles = _trained_on(config, source, context, round_index)
    learner = client_learner(config, context, source.shape(), from_record(message.content.array_records[ARRAYS]))
    answer = client_half(config).answer(learner, tiles)
    check_finite(answer, f"before round {round_index}, client {client_id(context)}")
    return Message(RecordDict({ARRAYS: to_record(answer)}), reply_to=message)


@client_app.query("sample")
def sample(message: Message, context: Context) -> Message:
    """Generate tiles for the asked labels and domains with the client's own generator (where the server has none)."""
    config = experiment_of(message)
    shared = from_record(message.content.array_records[ARRAYS])
    learner = client_learner(config, context, source_of(config, message, context).shape(), shared)
    wanted = from_record(message.content.array_records[WANTED])
    labels, domains = (wanted[name].astype(np.int64) for name in (LABELS, DOMAINS))
    tiles = learner.sample(labels, torch_stream(config.seed, "sample", round_of(message), client_id(context)), domains)
    return Message(RecordDict({TILES: to_record({TILES: tiles})}), reply_to=message)


@client_app.query("judge")
def judge(message: Message, context: Context) -> Message:
    """Judge tiles of the experiment's store with the client's own classifier (where the server has none)."""
    config = experiment_of(message)
    shared = from_record(message.content.array_records[ARRAYS])
    learner = client_learner(config, context, source_of(config, message, context).shape(), shared)
    logits = {}
    for name, positions in from_record(message.content.array_records[WANTED]).items():
        store = JUDGED_STORES[name](config.data)
        assert store is not None, "nobody asks for tiles that are not held out"
        logits[name] = learner.logits(store.tiles(positions.astype(np.int64)))
    return Message(RecordDict({LOGITS: to_record(logits)}), reply_to=message)


@client_app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Say what the site's own tiles are like: the server has none, and asks before the first round."""
    return Message(RecordDict({CENSUS: described(experiment_of(message), context)}), reply_to=message)


def _trained_on(config: ExperimentConfig, source: TileSource, context: Context, round_index: int) -> LabelledTiles:
    """Return the tiles that a client trains on: its own but for those that validate, and those that it was handed."""
    own = task_of(config).training(config, source.tiles(client_id(context)), client_id(context))
    return with_handed(config, own, context, round_index)


def client_learner(config: ExperimentConfig, context: Context, shape: TileShape, arrays: Arrays | None = None) -> Any:
    """Give the client its networks: as the experiment begins, its private parts, the server's arrays, its own ones."""
    # The server's weights replace ImageNet's: only who keeps what begins with them needs the file.
    task = task_of(config)
    load_weights = task.INITIALISED in task.private(config)
    learner = task.fresh(config, shape, training_device(config.resources), load_weights=load_weights)
    if PRIVATE in context.state:
        learner.load(from_record(context.state.array_records[PRIVATE]))
    if arrays:
        learner.load(arrays)
    learner.load(kept_by(context, OWN))
    return learner


def client_steps(config: ExperimentConfig, client: LabelledTiles) -> int:
    """Optimiser steps of a client in a round, a GAN's discriminator's."""
    return task_of(config).steps(config, len(client.tiles))


def kept_optimizers(config: ExperimentConfig, context: Context, learner: Learner) -> Moments:
    """Make the client's optimisers, with the moments of the last round where they are kept."""
    optimizers = task_of(config).optimizers(learner)
    if config.federation.keep_optimizer and OPTIMIZER in context.state:
        optimizers.load(from_record(context.state.array_records[OPTIMIZER]))
    return optimizers


def keep_private(
    config: ExperimentConfig,
    context: Context,
    learner: Learner,
    optimizers: Moments,
    parts: Sequence[str],
    where: str,
    of_strategy: Mapping[str, Arrays] | None = None,
) -> None:
    """Put what does not travel into the client's state: all of it, or nothing.

    Raises:
        DivergedError: An array is not finite; ``where`` begins the message.
    """
    private = learner.arrays(parts)
    moments = optimizers.arrays() if config.federation.keep_optimizer else {}
    check_finite(private, where)
    check_finite(moments, f"{where}, moments of Adam")
    kept = {record: arrays for record, arrays in (of_strategy or {}).items() if arrays}
    for arrays in kept.values():
        check_finite(arrays, f"{where}, what the strategy keeps")
    if parts:
        context.state[PRIVATE] = to_record(private)
    if config.federation.keep_optimizer:
        context.state[OPTIMIZER] = to_record(moments)
    for record, arrays in kept.items():
        context.state[record] = to_record(arrays)


def kept_by(context: Context, record: str = OF_STRATEGY) -> Arrays:
    """Return what a client kept of its last round for the strategy: what that asked for, or its :data:`OWN` arrays."""
    return from_record(context.state.array_records[record]) if record in context.state else {}


def report_metrics(report: PassReport) -> dict[str, float]:
    """Return what a reply says of a pass."""
    return {
        NUM_EXAMPLES: report.num_examples,
        **{f"{network}{STEPS}": number for network, number in report.steps.items()},
        **report.losses,
    }


def client_id(context: Context) -> int:
    """Number of the client, which addresses its random draws: its partition, or its node's where it has none."""
    return int(context.node_config.get("partition-id", context.node_id))


def round_of(message: Message) -> int:
    """Round that a message belongs to, 1 for the first."""
    value = message.content.config_records[CONFIG][ROUND]
    assert isinstance(value, int)
    return value
