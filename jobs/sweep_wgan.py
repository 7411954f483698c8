"""Search WGAN-GP hyperparameters over whole federated runs: python jobs/sweep_wgan.py [--data STORE] [--help]."""

import sys
from collections.abc import Sequence
from pathlib import Path

from fedray.cli.options import run_job
from fedray.cli.sweep import sweep

SPACE = Path(__file__).parents[1] / "search_spaces" / "wgan_gp.yaml"


def main(argv: Sequence[str]) -> None:
    """Parse, sweep, print."""
    sweep(argv, default_space=SPACE, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
