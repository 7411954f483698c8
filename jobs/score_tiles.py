"""Score tiles of any generator: python jobs/score_tiles.py --data STORE --tiles STORE_OR_FOLDER [--help].

The same scores as of an experiment's own generator, beside what real tiles score, for a tile store or a folder with one
folder of pictures a label. Ends with a table, the same as Parquet, and a picture, real tiles above the others.
"""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.score import score


def main(argv: Sequence[str]) -> None:
    """Parse, score, print."""
    score(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
