"""Runs that are submitted to a SuperLink, and followed to their end."""

from collections.abc import Callable

from fedray.config import SITES, ExperimentConfig, override
from fedray.deployment.bundle import bundle_of
from fedray.deployment.control import Control, ServerError
from fedray.deployment.scores import check_extractor
from fedray.tasks import task_of


def with_sites_tiles(config: ExperimentConfig) -> ExperimentConfig:
    """Return an experiment with the tiles of the sites in the place of a store's.

    Raises:
        ConfigError: It asks for what sites cannot do.
    """
    values = {"data.store": SITES, "data.tile_size": None, "data.num_domains": None}
    return override(config, values, source="an experiment on sites")


def on_sites(config: ExperimentConfig) -> ExperimentConfig:
    """Return an experiment as it is submitted: on the sites' tiles, and judged as they can judge it.

    Raises:
        ConfigError: It asks for what sites cannot do.
        EvaluationError: It asks for features that they cannot agree upon.
    """
    resolved = with_sites_tiles(config).resolved()
    if task_of(resolved).ABILITY == "samples":
        check_extractor(resolved)
    return resolved


def submit(
    config: ExperimentConfig, control: Control, out: str, tracking_uri: str, show: Callable[[str], None]
) -> None:
    """Run an experiment on the sites of a SuperLink, and show its log until it ends; Ctrl-C stops it.

    Args:
        config: The experiment, as :func:`on_sites` returns it.
        control: Of the SuperLink.
        out: Place for the results, as the server sees it.
        tracking_uri: Of MLflow, as the server sees it.
        show: Shows a part of the log.

    Raises:
        ServerError: It failed, or was stopped; the message says of what.
    """
    run = control.start(bundle_of(config, out, tracking_uri))
    try:
        ended = control.follow(run, show)
    except KeyboardInterrupt:
        control.stop(run)
        raise
    if not ended.completed:
        raise ServerError(f"the run failed: {ended.details or 'it was stopped'}")
