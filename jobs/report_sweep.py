"""Make the report of a finished sweep again: python jobs/report_sweep.py DIR.

DIR is the sweep's results folder, or its s3:// or gs:// address. Every sweep ends with its report; this is for one of
before there were reports, or for a page as this FedRay makes it. Nothing is run, and MLflow is told nothing.
"""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.report_sweep import report_sweep


def main(argv: Sequence[str]) -> None:
    """Parse, make, say where."""
    report_sweep(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
