"""Logins of the tracking server: MLflow's own, with wrong attempts slowed down and a log of who did what.

MLflow asks :func:`authenticate` at every request (``authorization_function``, which serve.sh and kubernetes/ set). In
front of each worker process stands its own memory: with two of them an attacker has twice as many attempts.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from urllib.parse import quote

from cachetools import TTLCache
from flask import Response, make_response, request
from werkzeug.datastructures import Authorization

FREE_ATTEMPTS = 5
"""Wrong passwords in a row that cost nothing: people mistype them."""
LONGEST_WAIT_S = 60.0
FORGET_S = 900.0

_log = logging.getLogger("fedray.access")


class Attempts:
    """Counts wrong passwords by address and user; after some, each further one doubles the wait before the next.

    Only that address waits for that user, so that nobody is locked out by somebody else. Requests in the wait are
    answered at once and their passwords are not looked at: a server that slept would be slow for everybody.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; ``now`` is a clock in seconds."""
        self._now, self._lock = now, threading.Lock()
        self._wrong: TTLCache[tuple[str, str], tuple[int, float]] = TTLCache(10_000, FORGET_S, timer=now)

    def wait_s(self, key: tuple[str, str]) -> float:
        """Return how many seconds are left before the next attempt is looked at."""
        with self._lock:
            return max(0.0, self._wrong.get(key, (0, 0.0))[1] - self._now())

    def wrong(self, key: tuple[str, str]) -> None:
        """Count a wrong password."""
        with self._lock:
            count = self._wrong.get(key, (0, 0.0))[0] + 1
            wait = min(LONGEST_WAIT_S, 2.0 ** (count - FREE_ATTEMPTS)) if count >= FREE_ATTEMPTS else 0.0
            self._wrong[key] = count, self._now() + wait

    def right(self, key: tuple[str, str]) -> None:
        """Forget the wrong ones."""
        with self._lock:
            self._wrong.pop(key, None)


_attempts = Attempts()


def authenticate() -> Authorization | Response:
    """Let MLflow check the login of the request at hand, unless too many before it were wrong.

    Returns:
        The login, or the answer to the request: 401, or 429 with the seconds to wait in ``Retry-After``.
    """
    from mlflow.server.auth import authenticate_request_basic_auth  # which imports this module

    login = request.authorization
    if login is None or login.username is None:
        return authenticate_request_basic_auth()
    key = request.remote_addr or "", login.username
    if (wait := _attempts.wait_s(key)) > 0:
        _log.warning("%s: refused, %.0f s to wait: %s", _who(), wait, _what())
        return make_response("Too many wrong passwords", 429, {"Retry-After": str(math.ceil(wait))})
    answer = authenticate_request_basic_auth()
    if isinstance(answer, Response):
        _attempts.wrong(key)
        _log.warning("%s: wrong login: %s", _who(), _what())
    else:
        _attempts.right(key)
        _log.info("%s: %s", _who(), _what())
    return answer


def _who() -> str:
    """Name user and address; quoted, for a line of the log is a line."""
    user = request.authorization.username if request.authorization else None
    return f"{quote(user or '?', safe='@.+ ')} from {request.remote_addr or 'an artifact request'}"


def _what() -> str:
    return f"{request.method} {quote(request.path)}"


def _write_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s access %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = False


_write_to_stderr()
