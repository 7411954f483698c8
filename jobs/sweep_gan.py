"""Search GAN hyperparameters over whole federated runs: python jobs/sweep_gan.py --space acgan [--data STORE] [--help].

--space names a file of search_spaces/ (wgan_gp, acgan, cgan, cgan_hinge, md_gan, projected,
flow_matching, classifier), or is the path of one's own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fedray.cli.options import run_job
from fedray.cli.sweep import sweep

SPACES = Path(__file__).parents[1] / "search_spaces"


def main(argv: Sequence[str]) -> None:
    """Parse, sweep, print."""
    sweep(argv, default_space=SPACES / "wgan_gp.yaml", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
