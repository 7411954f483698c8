"""Say what this cluster can run, and what stands in the way: python jobs/doctor.py [--data STORE] [--out PLACE].

Looks at what a submitted job takes along, at nodes and GPUs, at the data from every node, at the place for results, at
the MLflow server, and plans every search space. Ends with status 1 where there is a problem.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fedray.cli.doctor import diagnose
from fedray.cli.options import run_job

REPOSITORY = Path(__file__).parents[1]


def main(argv: Sequence[str]) -> int:
    """Parse, look, print."""
    return diagnose(argv, folder=REPOSITORY, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
