"""The round loop: sample clients, train them, aggregate, report. A generator that can stop and resume at any round."""

import time
from collections.abc import Iterator
from functools import partial

import numpy as np
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import Census, TileShape
from fedray.federation.account import Account
from fedray.federation.client import DOMAINS, LABELS, TILES, WANTED
from fedray.federation.divergence import check_convergence, diverged
from fedray.federation.exchange import check_replies, check_server, exchange, failure_text
from fedray.federation.failures import FederationError
from fedray.federation.md_gan import GeneratorServer, run_md_gan_round
from fedray.federation.messages import (
    CONFIG,
    ROUND,
    counts_of,
    experiment_record,
    from_record,
    losses_of,
    to_record,
)
from fedray.federation.privacy import with_server_average
from fedray.federation.sampling import SampledGrid, sample_clients
from fedray.federation.state import FederationState, RoundReport, shared_arrays
from fedray.federation.strategies import KeepsState
from fedray.learning import Arrays, DivergedError
from fedray.simulation import merged_nodes
from fedray.tasks import shared_parts, task_of


def initial_state(config: ExperimentConfig, shape: TileShape) -> FederationState:
    """Draw the shared parts that round 1 starts from, for tiles of a shape."""
    learner = task_of(config).fresh(config, shape, "cpu")  # the driver may have no GPU
    return FederationState(to_record(learner.arrays(shared_parts(config))))


def federate(
    strategy: Strategy,
    grid: Grid,
    state: FederationState,
    config: ExperimentConfig,
    census: Census,
    account: Account | None = None,
) -> Iterator[RoundReport]:
    """Run the rounds that are left, and report each one. ``state`` is advanced in place before its round is reported.

    Args:
        strategy: How messages are made and replies aggregated.
        grid: Where the clients are.
        state: Where to begin.
        config: Of the experiment.
        census: Of the clients' tiles.
        account: Of what it releases under differential privacy; unset: it begins here.

    Raises:
        FederationError: More than ``federation.max_failed_share`` of a round's clients failed.
        DivergedError: A loss, a weight or a moment is not finite, or a loss exceeds
            :data:`fedray.federation.divergence.LOSS_LIMIT`. ``state`` stays as it was before that round.
    """
    account = account or Account()
    if config.privacy.on:
        account.count_at_least(config.privacy.noise_multiplier, state.round_index)
    step = partial(run_round, strategy, account)
    if config.federation.mode == "md-gan":
        step = partial(run_md_gan_round, GeneratorServer(config, census, shared_arrays(state), state.optimizer))
    while state.round_index < config.federation.num_rounds:
        yield step(grid, state, config)


def run_round(
    strategy: Strategy, account: Account, grid: Grid, state: FederationState, config: ExperimentConfig
) -> RoundReport:
    """Run the next round. Arguments and errors as in :func:`federate`."""
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
        averaged = with_server_average(averaged, shared_arrays(state), config.gan.ema_decay, state.round_index)
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


def sample_from_clients(
    grid: Grid,
    config: ExperimentConfig,
    round_index: int,
    labels: NDArray[np.int64],
    domains: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Let the clients generate tiles, an equal share each, where the generator stays with them.

    Args:
        grid: Where the clients are.
        config: Of the experiment.
        round_index: Rounds done; addresses the noise.
        labels: [N] int64.
        domains: [N] int64.

    Returns:
        [N, H, W, C] uint8, in the order of ``labels``.

    Raises:
        DivergedError: A client's tiles are not finite.
        FederationError: A client failed or did not answer in time.
    """
    clients = sorted(grid.get_node_ids())[: len(labels)]
    header = experiment_record(config)
    header[ROUND] = round_index
    messages = []
    for position, client in enumerate(clients):
        chosen = slice(position, None, len(clients))
        wanted = to_record({LABELS: labels[chosen], DOMAINS: domains[chosen]})
        messages.append(Message(RecordDict({CONFIG: header, WANTED: wanted}), client, f"{MessageType.QUERY}.sample"))
    replies = list(grid.send_and_receive(messages, timeout=config.federation.round_timeout_s))
    failed = [reply for reply in replies if reply.has_error()]
    if reasons := diverged(failed):
        raise DivergedError(reasons[0])
    if failed or len(replies) < len(messages):
        raise FederationError(failure_text(messages, replies, round_index))
    parts = {r.metadata.src_node_id: from_record(r.content.array_records[TILES])[TILES] for r in replies}
    tiles = np.empty((len(labels), *parts[clients[0]].shape[1:]), np.uint8)
    for position, client in enumerate(clients):
        tiles[position :: len(clients)] = parts[client]
    return tiles


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
