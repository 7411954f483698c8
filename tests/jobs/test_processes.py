"""The jobs as a process: the shell sees the status, and the user one message without a traceback."""

import subprocess
import sys

from tests.support.jobs import JOBS

CASES = {
    "train_gan": (["--gan.n-critic", "0"], "error: 1 problem in the command line:\n  - gan.n_critic: "),
    "sweep_wgan": (["--data", "nowhere"], "error: data.store must be a tile store's path, "),
}
ALL = f"""
import runpy, sys
for sys.argv in {[[str(JOBS / f"{name}.py"), *argv] for name, (argv, _) in CASES.items()]!r}:
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code
    print("ended with", status, file=sys.stderr)
sys.exit(status)
"""


def test_a_users_error_is_status_2_and_one_message(tmp_path):
    """One process for all, for what they import takes seconds; the last one's end is that of the process."""
    done = subprocess.run([sys.executable, "-c", ALL], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    *messages, nothing_more = done.stderr.split("ended with 2\n")
    assert nothing_more == "" and "Traceback" not in done.stderr
    for message, (_, beginning) in zip(messages, CASES.values(), strict=True):
        assert message.startswith(beginning)
    assert list(tmp_path.iterdir()) == []
