"""Requests that must succeed: repeated with growing pauses until a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from fedray.tracking.errors import TrackingError, brief, shown

T = TypeVar("T")

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


def outlast(call: Callable[[], T], deadline_s: float, failure: str, uri: str) -> T:
    """Repeat ``call`` while the tracking server is away; it must be safe to repeat.

    Args:
        call: A request.
        deadline_s: Longest to keep trying, in seconds; one attempt is always made.
        failure: What has then failed, for the message (``run 'x' could not be started``).
        uri: The tracking address, for the message.

    Raises:
        TrackingError: The deadline passed, or the server refused.
    """
    from fedray.tracking.mlflow_client import is_away, is_refusal

    deadline = time.monotonic() + deadline_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except TrackingError:
            raise
        except Exception as error:  # MLflow, requests and the database drivers each raise their own
            problem = f"{failure} at {shown(uri)}: {brief(error, uri)}"
            if is_refusal(error):
                raise TrackingError(f"{problem} (it was refused, so it was not tried again)") from None
            if time.monotonic() + pause_s > deadline:
                remedy = "Is the server running?" if is_away(error) else "The server is there: its log says why."
                raise TrackingError(f"{problem} (tried for {deadline_s:.3g} s). {remedy}") from None
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
