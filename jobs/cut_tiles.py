"""Cut slides into a store: python jobs/cut_tiles.py --slides DIR --size 256 --resolution 0.5 --out STORE [--help].

DIR holds one folder a label with slides in it, or the folders train and test with one folder a label in each. A CSV
file (--csv FILE) has the columns slide and label and may have domain, group (patient), split and client; its paths
start from DIR, or from its own folder. Read are .svs, .ndpi, .mrxs, .tif and DICOM slides, and what else OpenSlide
knows. Only tissue is cut: where the slide is coloured, by Otsu's threshold. Each slide is a group of its own unless
the CSV file says more: no split and no partition separates its tiles.
"""

import sys
from collections.abc import Sequence

from fedray.cli.cut import cut
from fedray.cli.options import run_job


def main(argv: Sequence[str]) -> None:
    """Parse, cut, print."""
    cut(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
