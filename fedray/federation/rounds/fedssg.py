"""Distributed synthetic samples (FedSSG, arXiv 2604.26324; another method has the same name): averaging, and tiles.

Before the first round the clients tell how many tiles they have of each label and domain, and nothing else; the server
plans who lacks what and hands out tiles of its own store, which stay in the clients' states. Every ``refresh_every``
rounds others of the same kinds take their place. Rounds are those of averaging. What the paper leaves open, who gets
how many, are the policies of :mod:`fedray.data.allocation`.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from flwr.app import Context, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import (
    Census,
    LabelledTiles,
    TileShape,
    check_coverage,
    countable,
    distinct,
    handed_out,
    planned,
    supply_for,
)
from fedray.federation.account import Account
from fedray.federation.client import client_app, client_id
from fedray.federation.exchange import check_replies, exchange
from fedray.federation.failures import FederationError, failure_lines
from fedray.federation.handed import BEFORE, DOMAINS, HANDED, LABELS, TILES, handed_before, handed_record, hands_out
from fedray.federation.messages import (
    ARRAYS,
    CONFIG,
    METRICS,
    ROUND,
    experiment_of,
    experiment_record,
    from_record,
    to_record,
)
from fedray.federation.rounds import averaging
from fedray.federation.rounds.base import Step
from fedray.federation.sites import source_of
from fedray.federation.state import FederationState, RoundReport
from fedray.federation.traffic import Part

COUNT = f"{MessageType.QUERY}.count_tiles"
TAKE = f"{MessageType.QUERY}.take_tiles"
COUNTS = "counts"
SECONDS = "seconds"
_BATCH_BYTES = 256_000_000
"""Tiles in messages at a time: what is to be sent to all clients may be more than the server's memory."""

Counts = NDArray[np.int64]


# The clients.


@client_app.query("count_tiles")
def count_tiles(message: Message, context: Context) -> Message:
    """Tell how many training tiles of each label and domain the client has, int64 [label, domain]: noised, if asked."""
    started, config = time.perf_counter(), experiment_of(message)
    counts = countable(config.classification, source_of(config, message, context), client_id(context))
    # From the system's entropy, not from the experiment's streams: whoever knew the seed could take it off again.
    told = noised(counts, config.classification.count_noise, np.random.default_rng())
    metrics = MetricRecord({SECONDS: time.perf_counter() - started})
    return Message(RecordDict({ARRAYS: to_record({COUNTS: told}), METRICS: metrics}), reply_to=message)


@client_app.query("take_tiles")
def take_tiles(message: Message, context: Context) -> Message:
    """Keep the synthetic tiles that the server hands out, in the place of those from before."""
    started = time.perf_counter()
    context.state[HANDED] = message.content.array_records[HANDED]
    return Message(RecordDict({METRICS: MetricRecord({SECONDS: time.perf_counter() - started})}), reply_to=message)


def noised(counts: NDArray[np.float64], deviation: float, random: np.random.Generator) -> Counts:
    """Add Gaussian noise of a standard deviation in tiles, 0 for none; whole numbers come out, none below 0."""
    noisy = np.rint(counts + random.normal(0.0, deviation, counts.shape))
    told: Counts = np.maximum(noisy, 0).astype(np.int64)
    return told


# The server.


LOCKSTEP = False
client_steps = averaging.client_steps

_ONCE, _HANDED = (
    "once, before the first round",
    "before the first round, and every `classification.refresh_every` rounds",
)
MESSAGES = (
    Part(
        "server", "query.count_tiles", "config", "experiment", "the configuration of the experiment", "each site",
        _ONCE, "2 to 5 kB",
    ),
    Part(
        "site", "query.count_tiles", ARRAYS, COUNTS,
        "number of its training tiles of each label with each domain; noised with `classification.count_noise`, with "
        "no patient for more than `classification.count_clip`",
        "server", _ONCE, "8 bytes for a label with a domain",
    ),
    Part("site", "query.count_tiles", METRICS, SECONDS, "how long that took", "server", _ONCE, "a number"),
    Part(
        "server", "query.take_tiles", "config", "experiment|server-round",
        "the configuration, the number of the round", "each site", _HANDED, "2 to 5 kB",
    ),
    Part(
        "server", "query.take_tiles", HANDED, f"{TILES}|{LABELS}|{DOMAINS}|{BEFORE}",
        "tiles of the server's synthetic store, with their labels and domains", "each site", _HANDED, "their pixels",
    ),
    Part("site", "query.take_tiles", METRICS, SECONDS, "how long that took", "server", _HANDED, "a number"),
    *(part for part in averaging.MESSAGES if part.message == "train"),
)  # fmt: skip


def begin(
    config: ExperimentConfig, census: Census, state: FederationState, strategy: Strategy, account: Account
) -> Step:
    """Return what runs round after round. A state without the clients' counts is one before they were asked.

    Raises:
        StoreError: The synthetic store does not go with the clients' tiles.
    """
    average = averaging.begin(config, census, state, strategy, account)
    if not hands_out(config):
        return average
    return partial(run_round, Distribution(config, census, account), average)


def run_round(
    distribution: "Distribution", average: Step, grid: Grid, state: FederationState, config: ExperimentConfig
) -> RoundReport:
    """Hand tiles out where it is time, then average. Errors as in :func:`fedray.federation.federate`."""
    cost = distribution.cost_of_round(grid, state)
    report = average(grid, state, config)
    return replace(
        report,
        duration_s=report.duration_s + cost.wall_s,
        times={**report.times, "distribution": cost.wall_s},
        epsilon=distribution.epsilon(),
        figures=cost.figures,
    )


@dataclass
class Cost:
    """What a distribution took, over all clients; nothing in a round without one."""

    num_clients: int
    wall_s: float = 0.0
    client_s: float = 0.0
    num_tiles: int = 0
    num_bytes: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """What is logged: tiles of all clients; bytes of tiles and seconds in its handlers of a client, on average."""
        return {
            "distribution/tiles": float(self.num_tiles),
            "distribution/client-bytes": self.num_bytes / self.num_clients,
            "distribution/client-seconds": self.client_s / self.num_clients,
        }


class Distribution:
    """The server's synthetic store, and what of it is with the clients."""

    def __init__(self, config: ExperimentConfig, census: Census, account: Account) -> None:
        """Stand before a round that has handed out nothing: a process that goes on hands out again.

        Raises:
            StoreError: The store does not go with the clients' tiles.
        """
        path = config.classification.synthetic
        assert path is not None, "the configuration names a store where tiles are handed out"
        self._config, self._census, self._account = config, census, account
        self._supply = supply_for(path, census.shape, census.label_names, census.domain_names, "of the clients")
        self._handed_before = 0

    def epsilon(self) -> float | None:
        """Return the privacy spent until now, None where counts are exact."""
        config = self._config
        return self._account.epsilon(config.privacy.delta) if config.is_private else None

    def cost_of_round(self, grid: Grid, state: FederationState) -> Cost:
        """Hand out what the next round needs, where it is not there.

        Raises:
            AllocationError: A label is with nobody, tiles are of nobody's domain, or the budget is no tile.
            FederationError: A client did not count its tiles, or too many did not take theirs.
        """
        started, clients = time.monotonic(), sorted(grid.get_node_ids())
        cost, before = Cost(len(clients)), handed_before(self._config, state.round_index + 1)
        if before == self._handed_before:
            return cost
        if COUNTS not in state.told:
            state.told = {COUNTS: self._ask(grid, clients, cost)}
        self._hand_out(grid, clients, before, self._planned(state.told[COUNTS].astype(np.int64)), cost)
        self._handed_before, cost.wall_s = before, time.monotonic() - started
        return cost

    def _ask(self, grid: Grid, clients: list[int], cost: Cost) -> Counts:
        """Ask all clients for their counts, int64 [client, label, domain]."""
        config = self._config
        if config.is_private:
            self._account.count(config.classification.count_multiplier)  # and kept, before anything leaves a client
        content = RecordDict({CONFIG: experiment_record(config)})
        messages = [Message(content, client, COUNT) for client in clients]
        replies, _ = exchange(grid, messages, None, config.federation)
        answers = {reply.metadata.src_node_id: reply.content for reply in replies if not reply.has_error()}
        if len(answers) < len(clients):
            missing = f"{len(clients) - len(answers)} of {len(clients)} clients did not count their tiles:"
            raise FederationError("\n".join([missing, *failure_lines(messages, replies)]))
        cost.client_s += sum(_seconds(answer) for answer in answers.values())
        return np.stack([from_record(answers[client].array_records[ARRAYS])[COUNTS] for client in clients])

    def _planned(self, counts: Counts) -> Counts:
        stock = self._supply.stock()
        if not self._config.is_private:  # noise makes tiles of what is missing, and hides what is there
            check_coverage(counts, stock, self._census.label_names, self._census.domain_names)
        return planned(self._config, counts, stock)

    def _hand_out(self, grid: Grid, clients: list[int], before: int, plan: Counts, cost: Cost) -> None:
        config = self._config
        turn = (before - 1) // (config.classification.refresh_every or 1)
        choices = handed_out(self._supply, plan, config.seed, turn)
        for batch in _batches(list(distinct(choices).values()), choices, self._census.shape):
            messages = []
            for alike in batch:
                handed = self._supply.read(choices[alike[0]])
                content = self._content(handed, before)
                messages += [Message(content, clients[client], TAKE, group_id=str(before)) for client in alike]
                cost.num_bytes += len(alike) * sum(part.nbytes for part in handed)
            replies, _ = exchange(grid, messages, None, config.federation)
            cost.client_s += sum(_seconds(reply.content) for reply in check_replies(messages, replies, before, config))
        cost.num_tiles += int(plan.sum())

    def _content(self, handed: LabelledTiles, before: int) -> RecordDict:
        """Make what goes to all clients that are handed the same tiles: a grid may send it once for all of them."""
        header = experiment_record(self._config)
        header[ROUND] = before
        return RecordDict({CONFIG: header, HANDED: handed_record(handed, before)})


def _batches(
    groups: Sequence[list[int]], choices: Sequence[NDArray[np.int64]], shape: TileShape
) -> Iterator[list[list[int]]]:
    """Divide groups of clients that are handed the same so that a batch has not many more bytes than are allowed."""
    batch: list[list[int]] = []
    num_bytes = 0
    for group in groups:
        batch.append(group)
        num_bytes += len(choices[group[0]]) * shape.size**2 * shape.channels
        if num_bytes >= _BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def _seconds(answer: RecordDict) -> float:
    value = answer.metric_records[METRICS][SECONDS]
    assert isinstance(value, float)
    return value
