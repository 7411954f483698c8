"""Run one federated (or centralised) GAN experiment: python jobs/train_gan.py [--config FILE] [--data STORE]."""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.train import train


def main(argv: Sequence[str]) -> None:
    """Parse, run, print."""
    train(argv, description=__doc__ or "", task="gan")


if __name__ == "__main__":
    sys.exit(run_job(main))
