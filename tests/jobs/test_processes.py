"""The jobs as processes: the shell sees the status, and the user one message without a traceback."""

import subprocess
import sys

from tests.support.jobs import JOBS

CASES = {
    "train_gan": (["--gan.n-critic", "0"], "error: 1 problem in the command line:\n  - gan.n_critic: "),
    "sweep_wgan": (["--data", "nowhere"], "error: data.store must be a tile store's path, "),
}


def test_a_users_error_is_status_2_and_one_message(tmp_path):
    started = {
        name: subprocess.Popen(
            [sys.executable, JOBS / f"{name}.py", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path,
        )
        for name, (argv, _) in CASES.items()
    }  # fmt: skip
    for name, job in started.items():
        output, errors = job.communicate(timeout=240)
        assert (job.returncode, output) == (2, ""), errors
        assert errors.startswith(CASES[name][1]) and "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
