"""What a job on this machine sends and where it listens: nothing, and on loopback; wherever its temporary files are."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fedray.environment import OURS, SILENT
from tests.support.jobs import JOBS

WATCHED = Path(__file__).parents[1] / "support" / "watched"
CI_VARIABLES = {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "CI", "GITHUB_ACTIONS"}  # MLflow is silent with one of them

# Ray looks for the machine's cloud, on the link and by name; nothing turns it off (docs/network.md).
OF_RAY = {"look up 169.254.169.254", "connect 169.254.169.254:80", "look up metadata.google.internal"}

RUN_AND_LOOK = f"""
import json, runpy, sys
sys.argv[0] = {str(JOBS / "train_gan.py")!r}
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
import contextlib, psutil, ray
own, listening = psutil.Process(), set()
for process in (own, *own.children(recursive=True)):
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
        listening |= {{found.laddr.ip for found in process.net_connections("inet") if found.status == "LISTEN"}}
print("LOOKED", json.dumps([sorted(listening), ray._private.worker._global_node.get_session_dir_path()]))
"""


def test_a_job_sends_nothing_and_listens_on_loopback_alone(write_config, new_database, tmp_path):
    """With the TMPDIR of a batch system, too: so long that no socket's path would fit below it."""
    config = write_config({"federation.num_rounds": 1, "federation.num_clients": 1})
    log, long = tmp_path / "log", tmp_path / "long" / ("job-scratch-" * 10)
    for made in (long, tmp_path / "work"):
        made.mkdir(parents=True)
    log.touch()
    new_database(tmp_path / "work")
    settings = CI_VARIABLES | {*SILENT, *OURS, "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RAY_TMPDIR"}
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    paths = {"PYTHONPATH": f"{WATCHED}{os.pathsep}{JOBS.parent}", "WATCHED_LOG": str(log), "TMPDIR": str(long)}
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_LOOK, "--config", str(config), "--out", "out"],
        env=environment | paths, cwd=tmp_path / "work", capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    listening, session = json.loads(done.stdout.partition("LOOKED ")[2])
    wanted = [line for line in log.read_text().splitlines() if line.partition(" by ")[0] not in OF_RAY]
    assert wanted == []
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert not Path(session).is_relative_to(long)
    private = Path(session).parents[1]
    assert private.stat().st_mode & 0o777 == 0o700 and private.stat().st_uid == os.getuid()
