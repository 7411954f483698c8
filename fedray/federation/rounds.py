"""The round loop: sample clients, train them, aggregate, report. A generator that can stop and resume at any round."""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import numpy as np
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig, FederationConfig
from fedray.data import Census, TileShape
from fedray.federation.account import Account
from fedray.federation.client import DOMAINS, LABELS, TILES, WANTED
from fedray.federation.divergence import check_convergence, diverged
from fedray.federation.failures import FederationError, failure_lines, failure_reasons
from fedray.federation.md_gan import GeneratorServer
from fedray.federation.messages import (
    CONFIG,
    NUM_EXAMPLES,
    ROUND,
    WEIGHT,
    experiment_record,
    from_record,
    shared_parts,
    to_record,
)
from fedray.federation.privacy import with_server_average
from fedray.federation.sampling import SampledGrid, sample_clients
from fedray.federation.strategies import ServerOptimised, mean_losses
from fedray.models import Arrays, DivergedError, check_finite, fresh_gan
from fedray.simulation import RayGrid, RoundTiming, merged_nodes

logger = logging.getLogger(__name__)


@dataclass
class FederationState:
    """What the server knows between two rounds; with the clients' own states, all that a resumed run needs."""

    arrays: ArrayRecord
    """The shared parts, named ``generator.*``, ``generator_ema.*``, ``discriminator.*``."""
    round_index: int = 0
    """Rounds done."""
    optimizer: Arrays = field(default_factory=dict)
    """Moments of the server's optimiser, empty where it has none."""


@dataclass(frozen=True)
class RoundReport:
    """What one round did."""

    round_index: int
    """1 for the first round."""
    losses: dict[str, float]
    """Means over clients and steps, named ``discriminator/*`` and ``generator/*``; none under differential privacy."""
    counts: dict[str, float]
    """``num-examples``, ``discriminator-steps`` and ``generator-steps`` over all clients of the round, or the server's
    generator steps where it has the only generator; none under differential privacy."""
    num_clients: int
    """Clients whose replies were aggregated."""
    num_failed: int
    """Clients that failed or did not answer in time."""
    duration_s: float
    """Wall time of the round in seconds, without evaluation."""
    times: dict[str, float]
    """Parts of ``duration_s`` in seconds: ``aggregation``, and ``dispatch``, ``compute``, ``merge`` and ``transfer``
    (see :class:`fedray.simulation.RoundTiming`) where the grid measures them; ``compute`` and ``merge`` are sums over
    the workers."""
    utilisation: float | None
    """Share of the workers' time spent on clients, from 0 to 1; None where the grid does not measure it."""
    epsilon: float | None = None
    """Privacy spent until now at ``privacy.delta``, this round included; None without differential privacy."""


def initial_state(config: ExperimentConfig, shape: TileShape) -> FederationState:
    """Draw the shared parts that round 1 starts from, for tiles of a shape."""
    gan = fresh_gan(config.gan, shape, config.seed, "cpu")  # the driver may have no GPU
    return FederationState(to_record(gan.arrays(shared_parts(config.federation))))


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
    messages = list(
        strategy.configure_train(round_index, state.arrays, experiment_record(config), SampledGrid(grid, clients))
    )
    if config.privacy.on:
        account.count(config.privacy.noise_multiplier)  # and kept, before anything leaves
    merging_for = strategy if config.federation.merge_replies else None
    replies, timing = _exchange(grid, messages, merging_for, config.federation)
    answered = _check_replies(messages, replies, round_index, config)
    received = time.monotonic()
    if isinstance(strategy, ServerOptimised):
        strategy.load(state.optimizer)
    arrays, metrics = strategy.aggregate_train(round_index, answered)
    assert arrays is not None and metrics is not None, "a round with replies aggregates to something"
    losses = {name: float(value) for name, value in metrics.items() if "/" in name and isinstance(value, int | float)}
    counts = {name: float(cast(float, metrics[name])) for name in COUNTS if name in metrics}
    check_convergence(losses, round_index)
    averaged, moments = _as_before(arrays, state.arrays), state.optimizer
    if config.privacy.on:
        averaged = with_server_average(averaged, shared_arrays(state), config.gan.ema_decay, state.round_index)
    if isinstance(strategy, ServerOptimised):
        moments = strategy.arrays()
    _check_server(averaged, moments, round_index)
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


COUNTS = (NUM_EXAMPLES, "discriminator-steps", "generator-steps")
"""Metrics that are sums over the clients."""


def run_md_gan_round(
    server: GeneratorServer, grid: Grid, state: FederationState, config: ExperimentConfig
) -> RoundReport:
    """Run the next round of MD-GAN. Errors as in :func:`federate`."""
    started, round_index = time.monotonic(), state.round_index + 1
    clients, timings = sorted(grid.get_node_ids()), list[RoundTiming]()

    def exchange(messages: list[Message]) -> list[Message]:
        replies, timing = _exchange(grid, messages, None, config.federation)
        timings.extend([timing] if timing else [])
        return _check_replies(messages, replies, round_index, config)

    replies = server.run_round(round_index, clients, exchange)
    metrics = mean_losses(replies, WEIGHT)
    losses = {name: float(cast(float, value)) for name, value in metrics.items() if "/" in name}
    check_convergence(losses, round_index)
    arrays, moments = server.arrays(), server.optimizer()
    _check_server(arrays, moments, round_index)
    state.arrays, state.optimizer, state.round_index = to_record(arrays), moments, round_index
    counts = {name: float(cast(float, metrics[name])) for name in COUNTS}
    counts[NUM_EXAMPLES] /= len(replies) / len(clients)
    counts["generator-steps"] /= len(clients)  # every client judges each of the server's
    duration_s = time.monotonic() - started
    parts = {part: sum(timing.parts[part] for timing in timings) for part in (timings[0].parts if timings else {})}
    return RoundReport(
        round_index=round_index,
        losses=losses,
        counts=counts,
        num_clients=len(clients),
        num_failed=0,
        duration_s=duration_s,
        times={**parts, "aggregation": duration_s - sum(timing.wall_s for timing in timings)},
        utilisation=sum(t.compute_s for t in timings) / (timings[0].num_workers * duration_s) if timings else None,
    )


def _exchange(
    grid: Grid, messages: list[Message], strategy: Strategy | None, federation: FederationConfig
) -> tuple[list[Message], RoundTiming | None]:
    """Send messages and wait for the replies: merged on the workers for a strategy if that and the grid allow it."""
    if not isinstance(grid, RayGrid):
        return list(grid.send_and_receive(messages, timeout=federation.round_timeout_s)), None
    return grid.exchange(messages, strategy, timeout=federation.round_timeout_s), grid.timing


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
        raise FederationError(_failure_text(messages, replies, round_index))
    parts = {r.metadata.src_node_id: from_record(r.content.array_records[TILES])[TILES] for r in replies}
    tiles = np.empty((len(labels), *parts[clients[0]].shape[1:]), np.uint8)
    for position, client in enumerate(clients):
        tiles[position :: len(clients)] = parts[client]
    return tiles


def shared_arrays(state: FederationState) -> Arrays:
    """Unwrap the state's arrays."""
    return from_record(state.arrays)


def _check_replies(
    messages: list[Message], replies: Iterable[Message], round_index: int, config: ExperimentConfig
) -> list[Message]:
    """Return the good replies in client order, which fixes the order of summation."""
    replies = list(replies)
    answered = sorted((r for r in replies if not r.has_error()), key=lambda reply: reply.metadata.src_node_id)
    num_answered = sum(len(merged_nodes(reply)) for reply in answered)
    allowed = config.federation.max_failed_share * len(messages)
    if reasons := diverged(replies):
        if len(reasons) > allowed:
            raise DivergedError(reasons[0] + (f" (and {len(reasons) - 1} more clients)" if reasons[1:] else ""))
        logger.warning("round %d goes on without %d client(s): %s", round_index, len(reasons), "; ".join(reasons))
    if not answered or len(messages) - num_answered > allowed:
        raise FederationError(_failure_text(messages, replies, round_index))
    return answered


def _check_server(arrays: Arrays, moments: Arrays, round_index: int) -> None:
    """Refuse a round's result before it becomes the server's state.

    Raises:
        DivergedError: Naming the array and the round.
    """
    check_finite(arrays, f"round {round_index}, server")
    check_finite(moments, f"round {round_index}, moments of the server's optimiser")


def _failure_text(messages: list[Message], replies: list[Message], round_index: int) -> str:
    failed = f"{len(failure_reasons(messages, replies))} of {len(messages)} clients failed"
    head = f"round {round_index}: {failed}, more than federation.max_failed_share:"
    return "\n".join([head, *failure_lines(messages, replies)])


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
