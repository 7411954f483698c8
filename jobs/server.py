"""Serve sites that keep their tiles, and train on them: python jobs/server.py run, python jobs/server.py train.

The server has no tile store and opens none (docs/hospitals.md).
"""

import sys
from collections.abc import Sequence

from fedray.cli.commands import run_command
from fedray.cli.options import run_job
from fedray.cli.server import serve


def train(argv: Sequence[str], description: str) -> None:
    """Train on the sites."""
    from fedray.cli.sites import train_on_sites  # here: it brings PyTorch, and a server does without

    train_on_sites(argv, description)


COMMANDS = {
    "run": (serve, "Serve the sites whose keys are registered: python jobs/server.py run --keys DIR."),
    "train": (train, "Train on the sites that are connected: python jobs/server.py train --config FILE."),
}


def main(argv: Sequence[str]) -> int | None:
    """Run the command."""
    return run_command(argv, COMMANDS, __doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
