"""Run FedSSG (arXiv 2604.26324) from generator to classifier: python jobs/fedssg.py [--data STORE] [--help].

The clients train a generator, a gate judges its tiles, the server hands out to each client what it lacks, and a
classifier trains on both kinds of tiles, beside the same one on real tiles alone. Ends with tables for a terminal, a
text (Markdown), a browser (HTML) and another program (Parquet), and with status 1 where a step failed.
"""

import sys
from collections.abc import Sequence

from fedray.cli.fedssg import fedssg
from fedray.cli.options import run_job


def main(argv: Sequence[str]) -> int:
    """Parse, run, print."""
    return fedssg(argv, description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
