"""The Flower ClientApp: one local GAN pass on one client's partition, and sampling from a client's generator."""

from functools import lru_cache

import numpy as np
import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedray.config import DataConfig, ExperimentConfig, GanConfig, PartitionConfig, ResourcesConfig
from fedray.data import Partition, TileStore, open_store, partition_store
from fedray.federation.divergence import check_losses, report_divergence
from fedray.federation.messages import (
    ARRAYS,
    CONFIG,
    METRICS,
    NUM_EXAMPLES,
    ROUND,
    WEIGHT,
    experiment_of,
    from_record,
    private_parts,
    shared_parts,
    to_record,
)
from fedray.federation.privacy import protect, trained_alone
from fedray.federation.weighting import client_weight
from fedray.models import (
    Arrays,
    Gan,
    LabelledTiles,
    Optimizers,
    PassReport,
    TileShape,
    check_finite,
    local_pass,
    proximal,
    steps_per_round,
)
from fedray.randomness import derive_seed, torch_stream

PRIVATE = "private-parts"
OPTIMIZER = "optimizer"
WANTED = "wanted"
LABELS = "labels"
DOMAINS = "domains"
TILES = "tiles"

client_app = ClientApp(mods=[report_divergence, protect])


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Take the server's arrays, train on the client's tiles, reply with the shared parts and the losses."""
    config = experiment_of(message)
    client, round_index = client_tiles(config, client_id(context)), round_of(message)
    where = f"round {round_index}, client {client_id(context)}"
    gan = client_gan(config, context, from_record(message.content.array_records[ARRAYS]))
    optimizers = kept_optimizers(config, context, gan)
    federation = config.federation
    num_steps = client_steps(config, client)
    report = local_pass(
        gan,
        optimizers,
        client,
        num_steps=num_steps,
        steps_before=(round_index - 1) * num_steps,
        seed=derive_seed(config.seed, "client", round_index, client_id(context)),
        hooks=[proximal(gan, federation.proximal_mu)] if federation.strategy == "fedprox" else [],
    )
    check_losses(report.losses, where)
    arrays = gan.arrays(shared_parts(federation))
    check_finite(arrays, where)
    if config.privacy.on:
        arrays = trained_alone(arrays, gan.trained(shared_parts(federation)))
    keep_private(config, context, gan, optimizers, private_parts(federation), where)
    metrics = MetricRecord({WEIGHT: client_weight(federation, client.labels), **report_metrics(report)})
    return Message(RecordDict({ARRAYS: to_record(arrays), METRICS: metrics}), reply_to=message)


@client_app.query("sample")
def sample(message: Message, context: Context) -> Message:
    """Generate tiles for the asked labels and domains with the client's own generator (where the server has none)."""
    config = experiment_of(message)
    gan = client_gan(config, context)
    wanted = from_record(message.content.array_records[WANTED])
    labels, domains = (wanted[name].astype(np.int64) for name in (LABELS, DOMAINS))
    tiles = gan.sample(labels, torch_stream(config.seed, "sample", round_of(message), client_id(context)), domains)
    return Message(RecordDict({TILES: to_record({TILES: tiles})}), reply_to=message)


def client_gan(config: ExperimentConfig, context: Context, arrays: Arrays | None = None) -> Gan:
    """Give the client its networks: as the experiment begins, then its private parts, then the server's arrays."""
    # The server's weights replace ImageNet's: only who keeps a discriminator of its own needs the file.
    gan = fresh_gan(config, load_weights="discriminator" not in shared_parts(config.federation))
    if PRIVATE in context.state:
        gan.load(from_record(context.state.array_records[PRIVATE]))
    if arrays:
        gan.load(arrays)
    return gan


def client_steps(config: ExperimentConfig, client: LabelledTiles) -> int:
    """Discriminator steps of a client in a round."""
    federation = config.federation
    return steps_per_round(len(client.tiles), config.gan.batch_size, federation.local_epochs, federation.local_steps)


def kept_optimizers(config: ExperimentConfig, context: Context, gan: Gan) -> Optimizers:
    """Make the client's optimisers, with the moments of the last round where they are kept."""
    optimizers = Optimizers(gan)
    if config.federation.keep_optimizer and OPTIMIZER in context.state:
        optimizers.load(from_record(context.state.array_records[OPTIMIZER]))
    return optimizers


def keep_private(
    config: ExperimentConfig, context: Context, gan: Gan, optimizers: Optimizers, parts: tuple[str, ...], where: str
) -> None:
    """Put what does not travel into the client's state: all of it, or nothing.

    Raises:
        DivergedError: An array is not finite; ``where`` begins the message.
    """
    private = gan.arrays(parts)
    moments = optimizers.arrays() if config.federation.keep_optimizer else {}
    check_finite(private, where)
    check_finite(moments, f"{where}, moments of Adam")
    if parts:
        context.state[PRIVATE] = to_record(private)
    if config.federation.keep_optimizer:
        context.state[OPTIMIZER] = to_record(moments)


def report_metrics(report: PassReport) -> dict[str, float]:
    """Return what a reply says of a pass."""
    return {
        NUM_EXAMPLES: report.num_examples,
        "discriminator-steps": report.discriminator_steps,
        "generator-steps": report.generator_steps,
        **report.losses,
    }


def fresh_gan(config: ExperimentConfig, device: str | None = None, *, load_weights: bool = True) -> Gan:
    """Return the experiment's networks as they are before round 1. One GAN a process: it is valid until the next call.

    Building a large network and reading its ImageNet weights takes longer than a client's round may.

    Args:
        config: Of the experiment.
        device: Where they compute; unset: where this process trains.
        load_weights: Whether ImageNet weights are wanted, if they are configured.

    Raises:
        ModelError: The networks cannot be built.
    """
    device = device or training_device(config.resources)
    load_weights = load_weights and config.gan.initialisation == "imagenet"
    gan, initial = _gan(config.gan, tile_shape(config.data), config.seed, device, load_weights)
    gan.load(initial)
    return gan


@lru_cache(maxsize=1)
def _gan(config: GanConfig, shape: TileShape, seed: int, device: str, load_weights: bool) -> tuple[Gan, Arrays]:
    gan = Gan(config, shape, seed, device, load_weights=load_weights)
    return gan, gan.arrays()


def client_tiles(config: ExperimentConfig, client_index: int) -> LabelledTiles:
    """Read one client's tiles."""
    store = local_store(config.data)
    indices = client_partition(config).clients[client_index]
    return LabelledTiles(store.tiles(indices), store.labels[indices], store.domains[indices])


def client_partition(config: ExperimentConfig) -> Partition:
    """Partition of the experiment's training tiles; in centralised mode one client has them all."""
    scheme = PartitionConfig() if config.federation.mode == "centralised" else config.partition
    return _partition(config.data, scheme, config.num_clients, config.seed)


@lru_cache(maxsize=4)
def local_store(data: DataConfig) -> TileStore:
    """Open the store once a process."""
    return open_store(data)


def tile_shape(data: DataConfig) -> TileShape:
    """Shape of the store's tiles and the number of its labels and domains."""
    store = local_store(data)
    return TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))


def training_device(resources: ResourcesConfig) -> str:
    """Device this process trains on: ``cuda`` if it was given a GPU and the configuration allows it."""
    if resources.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return resources.device


@lru_cache(maxsize=4)
def _partition(data: DataConfig, scheme: PartitionConfig, num_clients: int, seed: int) -> Partition:
    return partition_store(local_store(data), scheme, num_clients, seed)


def client_id(context: Context) -> int:
    """Index of the client."""
    return int(context.node_config["partition-id"])


def round_of(message: Message) -> int:
    """Round that a message belongs to, 1 for the first."""
    value = message.content.config_records[CONFIG][ROUND]
    assert isinstance(value, int)
    return value
