"""What a run still has to tell the tracking server: it waits here while the server is away."""

import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedray.tracking.errors import TrackingError, brief, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_logger = logging.getLogger(__name__)

_METRICS_PER_BATCH = 1000  # MLflow's limit
_LONGEST_PAUSE_S = 30.0
_DRAIN_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_MAX_WAITING_BYTES = 1 << 30  # files of one run on the local disk; beyond, the oldest are given up


@dataclass(frozen=True)
class Delivery:
    """One thing to send; sending it twice must do no harm."""

    what: str
    """Its name in messages, such as ``config.yaml``."""
    send: Callable[["MlflowClient"], None]
    files: Path | None = None
    """A file or folder on the local disk that is removed once it is sent."""

    @property
    def num_bytes(self) -> int:
        """Size of the files, in bytes."""
        paths = [] if self.files is None else [self.files, *self.files.rglob("*")]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def discard(self) -> None:
        """Remove the files."""
        if self.files is not None:
            shutil.rmtree(self.files, ignore_errors=True) if self.files.is_dir() else self.files.unlink(True)


class Outbox:
    """Metrics and deliveries of one run, sent when the server is there; usable from several threads.

    A failure to send never reaches the training loop. After one, the next attempt waits: up to 30 s, and ten times as
    long as the failed attempt took, so that a server that hangs takes at most a tenth of the time.
    """

    def __init__(self, client: "MlflowClient", run_id: str, uri: str) -> None:
        """Begin empty; ``uri`` is for messages."""
        self._client = client
        self._run_id = run_id
        self._uri = uri
        self._lock = threading.RLock()
        self._metrics: list[Metric] = []
        self._deliveries: list[Delivery] = []
        self._lost: list[str] = []
        self._failures = 0
        self._last_error = ""
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

    def flush(self) -> bool:
        """Send what waits, unless the server failed a moment ago; return whether nothing waits any more."""
        with self._lock:
            started = time.monotonic()
            if started < self._next_attempt:
                return False
            try:
                self._send_metrics()
                self._send_deliveries()
            except Exception as error:  # MLflow, requests, SQLAlchemy and the object stores each raise their own
                self._postpone(error, time.monotonic() - started)
                return False
            if self._failures:
                _logger.info("the tracking address %s is back, and everything is sent", shown(self._uri))
            self._failures, self._next_attempt = 0, 0.0
            return True

    def drain(self, deadline_s: float) -> None:
        """Send everything, with growing pauses while the server is away.

        Raises:
            TrackingError: The deadline passed, or the server refused something; the message names what is lost.
        """
        deadline = time.monotonic() + deadline_s
        for attempt in itertools.count():
            self._next_attempt = 0.0
            pause = _DRAIN_PAUSES_S[min(attempt, len(_DRAIN_PAUSES_S) - 1)]
            if self.flush() or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        waiting = self._waiting()
        if waiting:
            raise TrackingError(
                f"{', '.join(waiting)} could not be sent to {shown(self._uri)} within {deadline_s:.3g} s: "
                f"{self._last_error}. Is the server running, and is there room on its disk? What is named here is lost."
            )
        if self._lost:
            raise TrackingError(
                f"{shown(self._uri)} did not take everything of run {self._run_id}: {'; '.join(self._lost)}"
            )

    def _send_metrics(self) -> None:
        while self._metrics:
            batch = self._metrics[:_METRICS_PER_BATCH]
            try:
                self._client.log_batch(self._run_id, metrics=batch)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                self._lose(f"{len(batch)} metrics", brief(error, self._uri))
            del self._metrics[: len(batch)]

    def _send_deliveries(self) -> None:
        while self._deliveries:
            delivery = self._deliveries[0]
            try:
                delivery.send(self._client)
            except Exception as error:
                if not _is_refusal(error):
                    # The next attempt begins with another one: what the server cannot take must not hold up the rest.
                    self._deliveries.append(self._deliveries.pop(0))
                    raise
                self._give_up(delivery, brief(error, self._uri))
            else:
                del self._deliveries[0]
                delivery.discard()

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        self._deliveries.remove(delivery)
        delivery.discard()
        self._lose(delivery.what, reason)

    def _lose(self, what: str, reason: str) -> None:
        self._lost.append(f"{what} ({reason})")
        _logger.warning("%s of run %s is not tracked: %s", what, self._run_id, reason)

    def _postpone(self, error: Exception, took_s: float) -> None:
        self._last_error = brief(error, self._uri)
        if self._failures == 0:
            _logger.warning(
                "the tracking address %s does not answer (%s); the run goes on, and %s will be sent later",
                shown(self._uri), self._last_error, ", ".join(self._waiting()),
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
        return names[:10] + ([f"{len(names) - 10} more"] if len(names) > 10 else [])


def _is_refusal(error: Exception) -> bool:
    from fedray.tracking.mlflow_client import is_refusal

    return is_refusal(error)
