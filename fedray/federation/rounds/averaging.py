"""A round of averaging: draw clients, train them, aggregate what they send, report."""

import time
from functools import partial

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import Census
from fedray.federation.account import Account
from fedray.federation.divergence import check_convergence
from fedray.federation.exchange import check_replies, check_server, exchange
from fedray.federation.messages import counts_of, experiment_record, losses_of, to_record
from fedray.federation.privacy import with_server_average
from fedray.federation.rounds.base import Step
from fedray.federation.sampling import SampledGrid, sample_clients
from fedray.federation.state import FederationState, RoundReport, shared_arrays
from fedray.federation.strategies import KeepsState
from fedray.federation.traffic import Part
from fedray.learning import Arrays
from fedray.simulation import merged_nodes
from fedray.tasks import task_of

LOCKSTEP = False

MESSAGES = (
    Part(
        "server", "train", "config", "experiment|server-round",
        "the configuration of the experiment, the number of the round", "each site of the round", "every round",
        "2 to 5 kB",
    ),
    Part(
        "server", "train", "arrays", r"{shared}\..+",
        "networks that are averaged, with their statistics and counters", "each site of the round", "every round",
        "those networks",
    ),
    Part(
        "site", "train", "arrays", r"{shared}\..+",
        "the same after its training; under differential privacy trained weights alone, clipped", "server",
        "every round that it is drawn for", "those networks",
    ),
    Part("site", "train", "metrics", "weight", "what it weighs in the mean", "server", "the same", "a number"),
    Part(
        "site", "train", "metrics", r"num-examples|[a-z]+-steps|[a-z]+/.+",
        "number of training tiles, steps, and mean losses of each network", "server",
        "the same; never under differential privacy", "a number each",
    ),
    Part(
        "server", "query.sample", "config", "experiment|server-round",
        "the configuration, the number of the round", "each site",
        "evaluations where what makes tiles stays with the sites", "2 to 5 kB",
    ),
    Part(
        "server", "query.sample", "arrays", r"{shared}\..+", "what is averaged of what makes tiles", "each site",
        "the same", "those networks",
    ),
    Part(
        "server", "query.sample", "wanted", "labels|domains", "labels and domains of tiles to generate", "each site",
        "the same", "16 bytes a tile",
    ),
    Part(
        "site", "query.sample", "tiles", "tiles", "generated tiles of its own generator", "server", "the same",
        "their pixels",
    ),
    Part(
        "server", "query.judge", "config", "experiment|server-round",
        "the configuration, the number of the round", "each site",
        "evaluations where classifiers stay with the sites", "2 to 5 kB",
    ),
    Part(
        "server", "query.judge", "arrays", r"{shared}\..+", "what is averaged of classifiers", "each site",
        "the same", "those networks",
    ),
    Part(
        "server", "query.judge", "wanted", "store|held-out", "which tiles of the common store to judge", "each site",
        "the same", "8 bytes a tile",
    ),
    Part(
        "site", "query.judge", "logits", "store|held-out", "what its own classifier says of these tiles", "server",
        "the same", "4 bytes a tile and label",
    ),
)  # fmt: skip


def begin(
    config: ExperimentConfig, census: Census, state: FederationState, strategy: Strategy, account: Account
) -> Step:
    """Return what runs round after round; all that goes on is in the state."""
    return partial(run_round, strategy, account)


def client_steps(config: ExperimentConfig, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the steps of each client's local pass."""
    sizes, places = np.unique(tiles, return_inverse=True)
    return np.array([task_of(config).steps(config, int(size)) for size in sizes], np.int64)[places]


def run_round(
    strategy: Strategy, account: Account, grid: Grid, state: FederationState, config: ExperimentConfig
) -> RoundReport:
    """Run the next round. Arguments and errors as in :func:`fedray.federation.federate`."""
    started, round_index = time.monotonic(), state.round_index + 1
    clients = sample_clients(list(grid.get_node_ids()), config.federation.client_fraction, config.seed, round_index)
    if isinstance(strategy, KeepsState):
        strategy.load(state.optimizer)
    messages = list(
        strategy.configure_train(round_index, state.arrays, experiment_record(config), SampledGrid(grid, clients))
    )
    if config.privacy.on:
        account.count(config.privacy.noise_multiplier)  # and kept, before anything leaves
    merging_for = strategy if config.federation.merge_replies else None
    replies, timing = exchange(grid, messages, merging_for, config.federation)
    answered = check_replies(messages, replies, round_index, config)
    received = time.monotonic()
    arrays, metrics = strategy.aggregate_train(round_index, answered)
    assert arrays is not None and metrics is not None, "a round with replies aggregates to something"
    losses, counts = losses_of(metrics), counts_of(metrics)
    check_convergence(losses, round_index)
    averaged, moments = _as_before(arrays, state.arrays), state.optimizer
    if config.privacy.on:
        averaged = with_server_average(averaged, shared_arrays(state), config.family.average_decay, state.round_index)
    if config.federation.personal:
        averaged = {**shared_arrays(state), **averaged}  # what stays with the clients is here as it was at first
    if isinstance(strategy, KeepsState):
        moments = strategy.arrays()
    check_server(averaged, moments, round_index)
    state.arrays, state.optimizer, state.round_index = to_record(averaged), moments, round_index
    num_answered = sum(len(merged_nodes(reply)) for reply in answered)
    ended = time.monotonic()
    return RoundReport(
        round_index=round_index,
        losses=losses,
        counts=counts,
        num_clients=num_answered,
        num_failed=len(messages) - num_answered,
        duration_s=ended - started,
        times={**(timing.parts if timing else {}), "aggregation": ended - received},
        utilisation=timing.utilisation if timing else None,
        epsilon=account.epsilon(config.privacy.delta) if config.privacy.on else None,
    )


def _as_before(arrays: ArrayRecord, before: ArrayRecord) -> Arrays:
    """Give the averaged arrays their dtypes back: Flower's average turns integer buffers into float64.

    They are rounded, not cut off: the mean of equal counters may come out as 1.9999999.
    """
    typed = {}
    for name, array in arrays.items():
        value, dtype = array.numpy(), np.dtype(before[name].dtype)
        with np.errstate(over="ignore"):  # what becomes infinite is seen by check_finite, and named
            typed[name] = (np.rint(value) if dtype.kind in "iu" else value).astype(dtype, copy=False)
    return typed
