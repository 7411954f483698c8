"""The one import of MLflow, quiet and with bounded waits; imported inside functions, because it takes about 4 s."""

import json
import logging
import os

# Read by MLflow when it is imported or makes a request; what the user has set stays.
for _name, _value in {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # We repeat requests ourselves. MLflow's own 7 retries of 120 s would hold up a round for a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}.items():
    os.environ.setdefault(_name, _value)

import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException, RestException  # noqa: E402

# Where somebody imported MLflow before us, its level is INFO still.
if logging.getLogger("mlflow").level == logging.INFO:
    logging.getLogger("mlflow").setLevel(logging.WARNING)

# 401 and 403: a login may be renewed; 404: a proxy without its server; 500: a server whose own database is away
_AWAY_STATUS = {408, 425, 429, 502, 503, 504}
_TEMPORARY_STATUS = _AWAY_STATUS | {401, 403, 404}
_MISSING = "RESOURCE_DOES_NOT_EXIST"  # the tracking server's own 404


def connect(uri: str) -> MlflowClient:
    """Return a client of this address; nothing process-wide is set. A database is opened at once, a server is not."""
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def is_missing(error: Exception) -> bool:
    """Say whether what was asked for is not there."""
    return isinstance(error, MlflowException) and error.error_code == _MISSING


def is_refusal(error: Exception) -> bool:
    """Say whether the request was understood and refused, so that the same one will never succeed.

    MLflow's client, the server and a SQLite file say so with the same errors; so do our own mistakes, such as a type
    that cannot be sent.
    """
    if is_missing(error):
        return True
    status = http_status(error)
    if status is None:
        # A proxy's page in place of JSON is nobody's mistake here; requests' own ValueErrors are OSErrors too.
        return isinstance(error, ValueError | TypeError) and not isinstance(error, OSError | json.JSONDecodeError)
    return 400 <= status < 500 and status not in _TEMPORARY_STATUS


def is_away(error: Exception) -> bool:
    """Say whether nobody answered: no other request would fare better now."""
    status = http_status(error)
    return (status is None and not is_refusal(error)) or status in _AWAY_STATUS


def http_status(error: Exception) -> int | None:
    """Return the HTTP status that a server answered with; None where it did not answer."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    if not isinstance(error, MlflowException):
        return None
    answered = isinstance(error, RestException) or error.error_code != "INTERNAL_ERROR"
    return int(error.get_http_status_code()) if answered else None  # type: ignore[no-untyped-call]
