"""The round loop: a generator that can stop and resume at any round, whatever a round is."""

from collections.abc import Iterator

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import Census, TileShape
from fedray.federation.account import Account
from fedray.federation.client import DOMAINS, LABELS, TILES, WANTED
from fedray.federation.divergence import diverged
from fedray.federation.exchange import failure_text
from fedray.federation.failures import FederationError
from fedray.federation.messages import CONFIG, ROUND, experiment_record, from_record, to_record
from fedray.federation.rounds import round_of
from fedray.federation.state import FederationState, RoundReport
from fedray.learning import DivergedError
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
    step = round_of(config).begin(config, census, state, strategy, account)
    while state.round_index < config.federation.num_rounds:
        yield step(grid, state, config)


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
