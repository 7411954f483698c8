"""Train one generator by flow matching, federated or centralised: python jobs/train_flow.py [--data STORE] [--help]."""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.train import train


def main(argv: Sequence[str]) -> None:
    """Parse, run, print."""
    train(argv, description=__doc__ or "", task="flow")


if __name__ == "__main__":
    sys.exit(run_job(main))
