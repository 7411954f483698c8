"""What MLflow was not told of a job, and is told now."""

import logging

from fedray.results.place import Place
from fedray.tracking import TrackingError, is_kept, send_kept

_logger = logging.getLogger(__name__)


def send_before(out: Place, tracking_uri: str) -> None:
    """Send what was kept of a job before it goes on: what MLflow has of a round is not sent again.

    Args:
        out: Of the job, which holds it.
        tracking_uri: Of MLflow.

    Raises:
        TrackingError: MLflow went away, or the job was tracked elsewhere.
        StorageError: The shared storage does not answer.
    """
    for told in send_kept(out.address, tracking_uri).refused:
        _logger.warning("MLflow does not take %s; it stays in %s", told, out)


def send_after(out: Place, tracking_uri: str) -> None:
    """Send what was kept of a job that is done; it is done without it too.

    Raises:
        InUseError: Another process sends it.
        StorageError: The shared storage does not answer.
    """
    if not is_kept(out.address):
        return
    with out.held():
        try:
            send_before(out, tracking_uri)
        except TrackingError as error:
            _logger.warning("%s", error)
