"""Send to MLflow what jobs could not send while it was away: python jobs/sync.py DIR [DIR ...].

A job that ends without its MLflow keeps in DIR/unsent what it had to say. This sends it to MLFLOW_TRACKING_URI, each
thing once, and removes what is sent. The same job with --resume does so too.
"""

import sys
from collections.abc import Sequence

from fedray.cli.options import run_job
from fedray.cli.sync import sync


def main(argv: Sequence[str]) -> int:
    """Parse, send."""
    return sync(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
