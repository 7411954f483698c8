"""The Flower ClientApp: one local GAN pass on one client's partition, and sampling from a client's generator."""

from functools import lru_cache

import numpy as np
import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from fedray.config import DataConfig, ExperimentConfig, PartitionConfig, ResourcesConfig
from fedray.data import Partition, TileStore, open_store, partition_store
from fedray.federation.messages import (
    ARRAYS,
    CONFIG,
    METRICS,
    ROUND,
    WEIGHT,
    experiment_of,
    from_record,
    private_parts,
    shared_parts,
    to_record,
)
from fedray.models import Gan, Optimizers, TileShape, local_pass, steps_per_round
from fedray.randomness import derive_seed, torch_stream

PRIVATE = "private-parts"
OPTIMIZER = "optimizer"
LABELS = "labels"
TILES = "tiles"

client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Take the server's arrays, train on the client's tiles, reply with the shared parts and the losses."""
    config = experiment_of(message)
    client_id, round_index = _client_id(context), _round(message)
    tiles, labels = client_tiles(config, client_id)
    gan = client_gan(config, context)
    gan.load(from_record(message.content.array_records[ARRAYS]))
    optimizers = Optimizers(gan)
    if config.federation.keep_optimizer and OPTIMIZER in context.state:
        optimizers.load(from_record(context.state.array_records[OPTIMIZER]))

    federation = config.federation
    num_steps = steps_per_round(len(tiles), config.gan.batch_size, federation.local_epochs, federation.local_steps)
    report = local_pass(
        gan,
        optimizers,
        tiles,
        labels,
        num_steps=num_steps,
        steps_before=(round_index - 1) * num_steps,
        seed=derive_seed(config.seed, "client", round_index, client_id),
    )

    _keep_private(config, context, gan, optimizers)
    metrics = MetricRecord(
        {
            WEIGHT: report.num_examples,
            "discriminator-steps": report.discriminator_steps,
            "generator-steps": report.generator_steps,
            **report.losses,
        }
    )
    arrays = to_record(gan.arrays(shared_parts(federation)))
    return Message(RecordDict({ARRAYS: arrays, METRICS: metrics}), reply_to=message)


@client_app.query("sample")
def sample(message: Message, context: Context) -> Message:
    """Generate tiles for the asked labels with the client's own generator (where the server has none)."""
    config = experiment_of(message)
    gan = client_gan(config, context)
    labels = from_record(message.content.array_records[LABELS])[LABELS].astype(np.int64)
    tiles = gan.sample(labels, torch_stream(config.seed, "sample", _round(message), _client_id(context)))
    return Message(RecordDict({TILES: to_record({TILES: tiles})}), reply_to=message)


def client_gan(config: ExperimentConfig, context: Context) -> Gan:
    """Build the client's networks with its private parts as the last round left them."""
    gan = Gan(config.gan, tile_shape(config.data), config.seed, training_device(config.resources))
    if PRIVATE in context.state:
        gan.load(from_record(context.state.array_records[PRIVATE]))
    return gan


def client_tiles(config: ExperimentConfig, client_id: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read one client's tiles [N, H, W, C] and labels [N]."""
    store = local_store(config.data)
    indices = client_partition(config).clients[client_id]
    return store.tiles(indices), store.labels[indices]


def client_partition(config: ExperimentConfig) -> Partition:
    """Partition of the experiment's training tiles; in centralised mode one client has them all."""
    scheme = PartitionConfig() if config.federation.mode == "centralised" else config.partition
    return _partition(config.data, scheme, config.num_clients, config.seed)


@lru_cache(maxsize=4)
def local_store(data: DataConfig) -> TileStore:
    """Open the store once a process."""
    return open_store(data)


def tile_shape(data: DataConfig) -> TileShape:
    """Shape of the store's tiles and the number of its labels."""
    store = local_store(data)
    return TileShape(store.tile_size, store.channels, len(store.label_names))


def training_device(resources: ResourcesConfig) -> str:
    """Device this process trains on: ``cuda`` if it was given a GPU and the configuration allows it."""
    if resources.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return resources.device


@lru_cache(maxsize=4)
def _partition(data: DataConfig, scheme: PartitionConfig, num_clients: int, seed: int) -> Partition:
    return partition_store(local_store(data), scheme, num_clients, seed)


def _keep_private(config: ExperimentConfig, context: Context, gan: Gan, optimizers: Optimizers) -> None:
    """Put what does not travel into the client's state."""
    if parts := private_parts(config.federation):
        context.state[PRIVATE] = to_record(gan.arrays(parts))
    if config.federation.keep_optimizer:
        context.state[OPTIMIZER] = to_record(optimizers.arrays())


def _client_id(context: Context) -> int:
    return int(context.node_config["partition-id"])


def _round(message: Message) -> int:
    value = message.content.config_records[CONFIG][ROUND]
    assert isinstance(value, int)
    return value
