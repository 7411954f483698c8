"""What the server asks its clients between two rounds, where what is judged is theirs alone."""

from collections.abc import Mapping

import numpy as np
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.federation.client import DOMAINS, LABELS, LOGITS, TILES, WANTED
from fedray.federation.divergence import diverged
from fedray.federation.exchange import failure_text
from fedray.federation.failures import FederationError
from fedray.federation.messages import ARRAYS, CONFIG, ROUND, experiment_record, from_record, to_record
from fedray.federation.state import FederationState
from fedray.learning import Arrays, DivergedError
from fedray.tasks import judged_parts


def sample_from_clients(
    grid: Grid,
    config: ExperimentConfig,
    state: FederationState,
    labels: NDArray[np.int64],
    domains: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Let the clients generate tiles, an equal share each, where generators stay with them, or a part of each does.

    Args:
        grid: Where the clients are.
        config: Of the experiment.
        state: What the server has of what makes tiles; a client has the rest. Its round addresses the noise.
        labels: [N] int64.
        domains: [N] int64.

    Returns:
        [N, H, W, C] uint8, in the order of ``labels``.

    Raises:
        DivergedError: A client's tiles are not finite.
        FederationError: A client failed or did not answer in time.
    """
    clients = sorted(grid.get_node_ids())[: len(labels)]
    places = {client: slice(position, None, len(clients)) for position, client in enumerate(clients)}
    wanted: dict[int, Arrays] = {
        client: {LABELS: labels[place], DOMAINS: domains[place]} for client, place in places.items()
    }
    parts = _ask(grid, config, state, "sample", wanted, TILES)
    tiles = np.empty((len(labels), *parts[clients[0]][TILES].shape[1:]), np.uint8)
    for client, place in places.items():
        tiles[place] = parts[client][TILES]
    return tiles


def logits_from_clients(
    grid: Grid, config: ExperimentConfig, state: FederationState, positions: Mapping[str, NDArray[np.int64]]
) -> list[Arrays]:
    """Let every client's own classifier judge the same tiles.

    Args:
        grid: Where the clients are.
        config: Of the experiment.
        state: What the server has of classifiers; a client has the rest.
        positions: Of the tiles, [n] int64, by the name of their store in :data:`JUDGED_STORES`.

    Returns:
        [n, num_labels] float32 by those names, of each client in the order of their nodes.

    Raises:
        DivergedError: A client's logits are not finite.
        FederationError: A client failed or did not answer in time.
    """
    wanted: dict[int, Arrays] = {client: dict(positions) for client in sorted(grid.get_node_ids())}
    logits = _ask(grid, config, state, "judge", wanted, LOGITS)
    return [logits[client] for client in wanted]


def _ask(
    grid: Grid,
    config: ExperimentConfig,
    state: FederationState,
    question: str,
    wanted: Mapping[int, Arrays],
    answer: str,
) -> dict[int, Arrays]:
    """Put a question to clients. Returns the record of that name of each answer, by node; none may be missing."""
    header, shared = experiment_record(config), ArrayRecord(judged_parts(config, state.arrays))
    header[ROUND] = state.round_index
    messages = [
        Message(
            RecordDict({CONFIG: header, ARRAYS: shared, WANTED: to_record(what)}),
            client,
            f"{MessageType.QUERY}.{question}",
        )
        for client, what in wanted.items()
    ]
    replies = list(grid.send_and_receive(messages, timeout=config.federation.round_timeout_s))
    failed = [reply for reply in replies if reply.has_error()]
    if reasons := diverged(failed):
        raise DivergedError(reasons[0])
    if failed or len(replies) < len(messages):
        raise FederationError(failure_text(messages, replies, state.round_index))
    return {reply.metadata.src_node_id: from_record(reply.content.array_records[answer]) for reply in replies}
