"""Write a sweep's study for Optuna and its dashboard: python jobs/export_study.py DIR [--out study.db] [--name NAME].

DIR is the sweep's results folder, or its s3:// or gs:// address. The file is a SQLite storage of Optuna's: every trial
with its values, state, the scores of its rounds and, as user attributes, its MLflow run, all scores and what it spent.
"""

import sys
from collections.abc import Sequence

from fedray.cli.export import export
from fedray.cli.options import run_job


def main(argv: Sequence[str]) -> None:
    """Parse, write, say where."""
    export(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
