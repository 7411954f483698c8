"""The one import of MLflow, quiet and with bounded waits; imported inside functions, because it takes about 4 s."""

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

_REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
_TEMPORARY_STATUS = {
    401,
    403,
    404,
    408,
    425,
    429,
}  # 401 and 403: a login may be renewed; 404: a proxy without its server


def connect(uri: str) -> MlflowClient:
    """Return a client of this address; nothing process-wide is set. A database is opened at once, a server is not."""
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def is_refusal(error: Exception) -> bool:
    """Say whether the server understood and refused, so that the same request will never succeed."""
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        return 400 <= status < 500 and status not in _TEMPORARY_STATUS
    return False


def http_status(error: Exception) -> int | None:
    """Return the HTTP status that a server answered with; None where it did not answer."""
    if not isinstance(error, MlflowException):
        return None
    answered = isinstance(error, RestException) or error.error_code != "INTERNAL_ERROR"
    return int(error.get_http_status_code()) if answered else None  # type: ignore[no-untyped-call]
