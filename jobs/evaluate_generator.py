"""Judge a generator: python jobs/evaluate_generator.py --run RUN [RUN ...] [--tiles STORE_OR_FOLDER ...] [--out DIR].

RUN is a results folder, its s3:// or gs:// address, or the id of an MLflow run; tiles of anything else come as a store
or as a folder of pictures by label. Ends with one HTML page that needs no network: the verdict, scores with floors and
intervals, does it copy, has it collapsed, does it show its labels, what differs most, and the protocol.
"""

import sys
from collections.abc import Sequence

from fedray.cli.evaluate import evaluate
from fedray.cli.options import run_job


def main(argv: Sequence[str]) -> None:
    """Parse, judge, print."""
    evaluate(argv, description=__doc__ or "", program="jobs/evaluate_generator.py")


if __name__ == "__main__":
    sys.exit(run_job(main))
