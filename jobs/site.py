"""Take part in a federation with tiles that stay here: python jobs/site.py run --store STORE --server HOST:PORT.

`python jobs/site.py keys --sites NAME NAME` makes the keys of a trial (docs/hospitals.md).
"""

import sys
from collections.abc import Sequence

from fedray.cli.commands import run_command
from fedray.cli.options import run_job
from fedray.cli.site import make_keys, show_log, take_part

COMMANDS = {
    "keys": (make_keys, "Make keys and certificates for a trial: python jobs/site.py keys --sites NAME NAME."),
    "run": (take_part, "Take part in the server's runs: python jobs/site.py run --store STORE --server HOST:PORT."),
    "log": (show_log, "Look whether the site's log is whole, and show its end: python jobs/site.py log --log DIR."),
}


def main(argv: Sequence[str]) -> int | None:
    """Run the command."""
    return run_command(argv, COMMANDS, __doc__ or "")


if __name__ == "__main__":
    sys.exit(run_job(main))
