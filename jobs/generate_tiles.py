"""Make tiles with a finished run's generator: python jobs/generate_tiles.py --run RUN --out DIR [--counts 1000].

RUN is a results folder, its s3:// or gs:// address, or the id of an MLflow run; of a sweep, the best trial makes the
tiles. They become a tile store that any job takes as --data, with its origin inside, or (--png) a folder of pictures.
"""

import sys
from collections.abc import Sequence

from fedray.cli.generate import generate
from fedray.cli.options import run_job


def main(argv: Sequence[str]) -> None:
    """Parse, make, print."""
    generate(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
