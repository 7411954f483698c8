"""Make a tile store of images: python jobs/prepare_data.py --images DIR --size 64 --out STORE [--help].

DIR holds one folder a label, or folders of splits (train, test) with one folder a label in each, or the unpacked
archives of a published data set (--source NAME). Else: --train DIR --test DIR, a table that names the images (--csv
FILE), a file of MedMNIST (--medmnist FILE). Every image becomes its largest central square, resized with antialiasing,
in RGB. What does not become a tile is counted by its reason.
"""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.prepare import prepare


def main(argv: Sequence[str]) -> None:
    """Parse, import, print."""
    prepare(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
