"""What is submitted to a SuperLink: the experiment, and no code. Server and sites run the FedRay that is installed."""

import json

from flwr.cli.build import build_fab_from_files

import fedray
from fedray.config import ExperimentConfig

EXPERIMENT, OUT, TRACKING = "experiment", "out", "tracking"
"""Keys of the run config: the experiment as JSON, the server's place for results, and the address of MLflow."""


def bundle_of(config: ExperimentConfig, out: str, tracking_uri: str) -> bytes:
    """Wrap an experiment for a SuperLink.

    Args:
        config: The experiment.
        out: Place for the results, as the server sees it.
        tracking_uri: Of MLflow, as the server sees it.
    """
    given = {EXPERIMENT: config.model_dump_json(), OUT: out, TRACKING: tracking_uri}
    lines = [
        "[project]",
        'name = "fedray-sites"',
        f"version = {_quoted(fedray.__version__)}",
        "[tool.flwr.app]",
        'publisher = "fedray"',
        "[tool.flwr.app.components]",
        'serverapp = "fedray.deployment.server:server_app"',
        'clientapp = "fedray.deployment.client:client_app"',
        "[tool.flwr.app.config]",
        *(f"{key} = {_quoted(value)}" for key, value in given.items()),
    ]
    return build_fab_from_files({"pyproject.toml": "\n".join(lines).encode()})[0]


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's, but for the one character that it leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
