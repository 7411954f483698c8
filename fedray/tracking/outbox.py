"""What a run still has to tell the tracking server: it waits here while the server is away, and is kept if it must."""

import itertools
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedray.tracking.deliveries import Delivery, metrics_delivery
from fedray.tracking.errors import TrackingError, brief, shown
from fedray.tracking.kept import Kept

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_logger = logging.getLogger(__name__)

_METRICS_PER_BATCH = 1000  # MLflow's limit
_LONGEST_PAUSE_S = 30.0
_NAMED_METRICS = 3  # metrics that are named in a message; more are counted
_DRAIN_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_MAX_WAITING_BYTES = 1 << 30  # files of one run on the local disk; beyond, the oldest are given up

_WHERE_AWAY = "Is the server running, and is there room on its disk?"
_WHERE_IT_FAILED = "The server is there but could not take it: its log says why."


class Outbox:
    """Metrics and deliveries of one run, sent when the server is there; usable from several threads.

    A failure to send never reaches the training loop. After one, the next attempt waits: up to 30 s, and ten times as
    long as the failed attempt took, so that a server that hangs takes at most a tenth of the time.
    """

    def __init__(self, client: "MlflowClient", run_id: str, uri: str, kept: Kept | None = None) -> None:
        """Begin empty.

        Args:
            client: Of MLflow.
            run_id: Of the run.
            uri: For messages.
            kept: Where what cannot be sent is kept; None: nowhere, and it is lost with this process.
        """
        self._client = client
        self._run_id = run_id
        self._uri = uri
        self._kept = kept
        self._kept_deliveries: dict[Delivery, str] = {}
        self._kept_metrics: list[str] = []
        self._num_kept_metrics = 0  # of those that wait, the first ones
        self._lock = threading.RLock()
        self._metrics: list[Metric] = []
        self._deliveries: list[Delivery] = []
        self.lost: list[str] = []
        """What the server refused, with the reason."""
        self._failures = 0
        self._last_error = ""
        self._remedy = ""
        self._next_attempt = 0.0

    @property
    def metrics(self) -> "list[Metric]":
        """The metrics that wait, oldest first."""
        with self._lock:
            return list(self._metrics)

    def add_metrics(self, metrics: "Sequence[Metric]") -> None:
        """Queue metrics; nothing is sent yet."""
        with self._lock:
            self._metrics += metrics

    def add(self, delivery: Delivery) -> bool:
        """Queue a delivery and try to send all that waits; return whether nothing waits any more."""
        with self._lock:
            self._deliveries.append(delivery)
            empty = self.flush()
            while not empty and sum(waiting.num_bytes for waiting in self._deliveries) > _MAX_WAITING_BYTES:
                oldest = next(waiting for waiting in self._deliveries if waiting.files is not None)
                self._give_up(oldest, f"more than {_MAX_WAITING_BYTES >> 20} MB wait for the server")
            return empty

    def wait(self, delivery: Delivery) -> None:
        """Queue a delivery without an attempt to send it."""
        with self._lock:
            self._deliveries.append(delivery)

    def keep(self) -> list[str]:
        """Keep all that waits beside the results, so that it outlives this process; what is kept is not kept twice.

        Returns:
            What waits, in words; nothing where nothing does, or where there is no place to keep it.

        Raises:
            StorageError: The shared storage does not answer, or refuses.
            OSError: The disk takes nothing.
        """
        with self._lock:
            if self._kept is None:
                return []
            if new := self._metrics[self._num_kept_metrics :]:
                self._kept_metrics.append(self._kept.keep(metrics_delivery(new)))
                self._num_kept_metrics = len(self._metrics)
            for delivery in self._deliveries:
                if delivery not in self._kept_deliveries:
                    self._kept_deliveries[delivery] = self._kept.keep(delivery)
            return self._waiting()

    def flush(self) -> bool:
        """Send what waits, unless the server failed a moment ago; return whether nothing waits any more."""
        with self._lock:
            started = time.monotonic()
            if started < self._next_attempt:
                return False
            if error := self._send_all():
                self._postpone(error, time.monotonic() - started)
                return False
            if self._failures:
                _logger.info("the tracking address %s is back, and everything is sent", shown(self._uri))
            self._failures, self._next_attempt = 0, 0.0
            return True

    def drain(self, deadline_s: float) -> None:
        """Send everything, with growing pauses while the server is away.

        Raises:
            TrackingError: The deadline passed, or the server refused something; the message names it.
        """
        deadline = time.monotonic() + deadline_s
        for attempt in itertools.count():
            self._next_attempt = 0.0
            pause = _DRAIN_PAUSES_S[min(attempt, len(_DRAIN_PAUSES_S) - 1)]
            if self.flush() or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        problems = []
        if waiting := self._waiting():
            problems.append(
                f"{', '.join(waiting)} could not be sent to {shown(self._uri)} within {deadline_s:.3g} s: "
                f"{self._last_error}. {self._remedy}{'' if self._kept else ' What is named here is lost.'}"
            )
        if self.lost:
            problems.append(
                f"{shown(self._uri)} did not take everything of run {self._run_id}: {'; '.join(_listed(self.lost))}"
            )
        if problems:
            raise TrackingError("\n".join(problems))

    def _send_all(self) -> Exception | None:
        """Send all that waits, once; what fails stays. Returns the first error that waiting may cure."""
        first = self._send_metrics()
        for delivery in list(self._deliveries):
            if first is not None and _is_away(first):
                break
            first = self._send_delivery(delivery) or first
        return first

    def _send_metrics(self) -> Exception | None:
        while self._metrics:
            batch = self._metrics[:_METRICS_PER_BATCH]
            try:
                self._client.log_batch(self._run_id, metrics=batch)
            except Exception as error:  # MLflow, requests, SQLAlchemy and the object stores each raise their own
                if not _is_refusal(error):
                    return error
                if problem := self._send_one_by_one(batch):
                    return problem
            del self._metrics[: len(batch)]
            self._num_kept_metrics = max(0, self._num_kept_metrics - len(batch))
        if self._num_kept_metrics == 0:
            while self._kept_metrics and self._kept is not None:
                self._kept.drop(self._kept_metrics.pop())
        return None

    def _send_one_by_one(self, batch: "Sequence[Metric]") -> Exception | None:
        """Send metrics of a refused batch by name, so that a bad one takes no other with it."""
        refused: dict[str, list[str]] = {}
        for key in dict.fromkeys(metric.key for metric in batch):
            try:
                self._client.log_batch(self._run_id, metrics=[metric for metric in batch if metric.key == key])
            except Exception as error:
                if not _is_refusal(error):
                    return error
                refused.setdefault(brief(error, self._uri), []).append(key)
        for reason, keys in refused.items():
            self._lose(f"{len(keys)} metrics" if len(keys) > _NAMED_METRICS else ", ".join(keys), reason)
        return None

    def _send_delivery(self, delivery: Delivery) -> Exception | None:
        try:
            delivery.send(self._client, self._run_id)
        except Exception as error:
            if not _is_refusal(error):
                # The next attempt begins with another one: what the server cannot take must not hold up the rest.
                self._deliveries.remove(delivery)
                self._deliveries.append(delivery)
                return error
            self._give_up(delivery, brief(error, self._uri))
        else:
            self._forget(delivery)
        return None

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        self._forget(delivery)
        self._lose(delivery.what, reason)

    def _forget(self, delivery: Delivery) -> None:
        self._deliveries.remove(delivery)
        delivery.discard()
        if self._kept is not None and delivery in self._kept_deliveries:
            self._kept.drop(self._kept_deliveries.pop(delivery))

    def _lose(self, what: str, reason: str) -> None:
        self.lost.append(f"{what} ({reason})")
        _logger.warning("%s of run %s is not tracked: %s", what, self._run_id, reason)

    def _postpone(self, error: Exception, took_s: float) -> None:
        self._last_error, away = brief(error, self._uri), _is_away(error)
        self._remedy = _WHERE_AWAY if away else _WHERE_IT_FAILED
        if self._failures == 0:
            _logger.warning(
                "the tracking address %s %s (%s); the run goes on, and %s will be sent later",
                shown(self._uri), "does not answer" if away else "failed", self._last_error, ", ".join(self._waiting()),
            )  # fmt: skip
        self._failures += 1
        pause_s = min(_LONGEST_PAUSE_S, 0.5 * 2 ** min(self._failures, 10))
        self._next_attempt = time.monotonic() + max(pause_s, 10 * took_s)

    def _waiting(self) -> list[str]:
        names = [delivery.what for delivery in self._deliveries]
        if self._metrics:
            steps = [metric.step for metric in self._metrics]
            rounds = f"rounds {min(steps)} to {max(steps)}" if len(set(steps)) > 1 else f"round {steps[0]}"
            names.insert(0, f"the metrics of {rounds}")
        return _listed(names)


def _listed(names: list[str], at_most: int = 10) -> list[str]:
    return names[:at_most] + ([f"{len(names) - at_most} more"] if len(names) > at_most else [])


def _is_refusal(error: Exception) -> bool:
    from fedray.tracking.mlflow_client import is_refusal

    return is_refusal(error)


def _is_away(error: Exception) -> bool:
    from fedray.tracking.mlflow_client import is_away

    return is_away(error)
