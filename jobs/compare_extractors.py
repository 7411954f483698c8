"""Does the goal depend on who looks? python jobs/compare_extractors.py --runs RUN [RUN ...] [--extractors NAME ...].

Scores the generators of finished runs, of a sweep those of all trials that ran all their rounds, with several
extractors, and prints in which order each of them puts the generators, and how far the orders agree.
"""

import sys
from collections.abc import Sequence

from fedray.cli.compare import compare
from fedray.cli.options import run_job


def main(argv: Sequence[str]) -> None:
    """Parse, score, print."""
    compare(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
