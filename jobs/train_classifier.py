"""Train one classifier of tiles, federated or centralised: python jobs/train_classifier.py [--data STORE]."""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.train import train


def main(argv: Sequence[str]) -> None:
    """Parse, run, print."""
    train(argv, description=__doc__ or "", task="classification")


if __name__ == "__main__":
    sys.exit(run_job(main))
