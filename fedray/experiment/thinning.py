"""Checkpoints of runs that nobody will go on with: what clients keep for another round goes, networks stay."""

from pathlib import Path

from fedray.config import ExperimentConfig
from fedray.federation import keep_server_alone, latest_round
from fedray.tasks import task_of


def keeps_networks(config: ExperimentConfig) -> bool:
    """Say whether clients have networks of their own, which are nowhere but with what they keep."""
    return config.federation.personal or bool(task_of(config).private(config))


def thin(config: ExperimentConfig, checkpoints: Path) -> None:
    """Leave of a run's newest checkpoint what the server had; where clients have networks of their own, all of it.

    Args:
        config: Of the run.
        checkpoints: Folder of its checkpoints.
    """
    newest = latest_round(checkpoints)
    if newest is not None and not keeps_networks(config):
        keep_server_alone(newest)
