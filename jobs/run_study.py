"""Run a study, experiments made of experiments, to its tables: python jobs/run_study.py --study augmentation [--help].

--study names a file of studies/ (augmentation, histopathology_gans), or is the path of one's own. What several cells
need is computed once; a study that was stopped goes on with --resume. Ends with tables for a terminal, a text
(Markdown), a browser (HTML) and another program (Parquet), and with status 1 where a step failed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fedray.cli.options import run_job
from fedray.cli.study import study

STUDIES = Path(__file__).parents[1] / "studies"


def main(argv: Sequence[str]) -> int:
    """Parse, run, print."""
    return study(argv, folder=STUDIES, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
