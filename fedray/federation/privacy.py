"""Differential privacy of clients (McMahan et al. 2018): what may leave a client, its clipping, and the server's noise.

Flower's own mod and strategy are not used: the mod insists on a reply with all arrays that were sent, batch statistics
and counters among them, lets an update pass whose norm is not a number, and divides by the norm of one that is zero;
the strategy draws its noise from NumPy's global stream, which whoever seeds it can take off again.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.federation.messages import ARRAYS, METRICS, WEIGHT, experiment_of, from_record, to_record
from fedray.federation.sampling import num_sampled
from fedray.learning import Arrays, check_finite, warm_decay

_TRAIN = (MessageType.TRAIN, f"{MessageType.TRAIN}.default")


# The clients.


def protect(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Let nothing leave a client, under differential privacy, but a clipped update. A mod of the ClientApp.

    The reply to a training message is made anew: its arrays, whose update is at most ``privacy.clipping_norm`` long in
    what really travels, and a weight of 1. Losses, step counts and the number of tiles stay with the client. Any other
    message is refused: its reply would be covered by no account.
    """
    config = experiment_of(message)
    if not config.privacy.on:
        return call_next(message, context)
    if message.metadata.message_type not in _TRAIN:
        reason = f"privacy covers no reply to a message of type {message.metadata.message_type!r}: it is refused"
        return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, reason), reply_to=message)
    reply = call_next(message, context)
    if reply.has_error():
        return reply
    before, after = (from_record(part.content.array_records[ARRAYS]) for part in (message, reply))
    update = to_record(clip_update(after, before, config.privacy.clipping_norm))
    assert update_norm(from_record(update), before) <= config.privacy.clipping_norm, "what travels is clipped"
    return Message(RecordDict({ARRAYS: update, METRICS: MetricRecord({WEIGHT: 1.0})}), reply_to=message)


def clip_update(after: Arrays, before: Arrays, clipping_norm: float) -> Arrays:
    """Shorten an update over all arrays together to a norm, as it is in the arrays' own precision.

    Args:
        after: Floats, by name; what training made.
        before: What it started from, under the same names at least.
        clipping_norm: > 0.

    Returns:
        Arrays of the dtypes of ``after``; what differs from ``before`` is together at most ``clipping_norm`` long.

    Raises:
        DivergedError: The update is not finite, and has no length.
    """
    check_finite(after, "an update under differential privacy")
    length = update_norm(after, before)
    clipped, scale = after, 1.0
    while length > clipping_norm:
        # Rounding to float32 can make it a trifle longer again, and arrays of large numbers cannot take a tiny update.
        scale *= clipping_norm / length * (1 - 1e-6)
        clipped = {name: _towards(value, before[name], scale) for name, value in after.items()}
        length = update_norm(clipped, before)
    return clipped


def update_norm(after: Arrays, before: Arrays) -> float:
    """Return the length of the difference over all arrays of ``after`` together, in float64."""
    squares = 0.0
    for name, value in after.items():
        change = np.subtract(value, before[name], dtype=np.float64).ravel()
        squares += float(change @ change)
    return float(np.sqrt(squares))


def _towards(after: NDArray[np.generic], before: NDArray[np.generic], share: float) -> NDArray[np.generic]:
    change = np.subtract(after, before, dtype=np.float64)
    moved: NDArray[np.generic] = (before + share * change).astype(after.dtype)
    return moved


# The server.


class NoisyMean(Strategy):
    """A mean of equal weights over all clients that were asked, with Gaussian noise on every array of it."""

    def __init__(self, strategy: FedAvg, config: ExperimentConfig) -> None:
        """Wrap a strategy that takes the mean.

        Args:
            strategy: FedAvg or FedProx.
            config: Of the experiment.
        """
        self._strategy = strategy
        self._num_clients = num_sampled(config.num_clients, config.federation.client_fraction)
        self._deviation = config.privacy.noise_multiplier * config.privacy.clipping_norm / self._num_clients
        # From the system's entropy, not from the experiment's streams: whoever knew the seed could take it off again.
        self._random = np.random.default_rng()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Pass on to the strategy."""
        return self._strategy.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the mean and add the noise; the noise is made for so many clients of one weight."""
        answered = list(replies)
        weights = [reply.content.metric_records[METRICS][WEIGHT] for reply in answered]
        assert weights == [1.0] * self._num_clients, "privacy allows no failed client and no other weighting"
        means, metrics = self._strategy.aggregate_train(server_round, answered)
        assert means is not None, "good replies aggregate to something"
        return to_record({name: self._noisy(mean) for name, mean in from_record(means).items()}), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nothing: scores of clients would be covered by no account."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing, as nothing was asked."""
        return None

    def summary(self) -> None:
        """Pass on to the strategy."""
        self._strategy.summary()

    def _noisy(self, mean: NDArray[np.generic]) -> NDArray[np.generic]:
        noise = self._random.normal(0.0, self._deviation, mean.shape)
        noisy: NDArray[np.generic] = np.add(mean, noise, dtype=np.float64).astype(mean.dtype)
        return noisy


def with_server_average(released: Arrays, before: Arrays, ema_decay: float, rounds_before: int) -> Arrays:
    """Complete what was released to what the server has: no client sends averages, batch statistics or counters.

    The moving average of the generator is the server's own, over released generators: one step a round, which costs no
    privacy. What is frozen, batch statistics and counters stay as they were at first.

    Args:
        released: Noisy means of trained parameters, by name.
        before: All that the server had before this round.
        ema_decay: Of the average, with the warm-up of :func:`fedray.learning.warm_decay`.
        rounds_before: This one.
    """
    decay, after = warm_decay(ema_decay, rounds_before), {**before, **released}
    for name, value in released.items():
        part, _, rest = name.partition(".")
        average = f"{part}_ema.{rest}"
        if average in before:
            moved = np.multiply(before[average], decay) + np.multiply(value, 1 - decay)
            after[average] = moved.astype(value.dtype)
    return after


def trained_alone(arrays: Arrays, trained: Iterable[str]) -> Arrays:
    """Pick what may leave a client under differential privacy: parameters that training moves, and nothing else."""
    wanted: Mapping[str, None] = dict.fromkeys(trained)
    return {name: value for name, value in arrays.items() if name in wanted}
