"""The page "From Python" shows its script, word for word, and the script runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest

from tests.support.pages import ROOT, blocks_of

SCRIPT = ROOT / "docs" / "examples" / "from_python.py"


def test_every_block_of_the_page_stands_in_the_script() -> None:
    blocks = blocks_of(ROOT / "docs" / "python.md", ("python",))
    assert len(blocks) == 5
    assert [str(block) for block in blocks if block.text not in SCRIPT.read_text(encoding="utf-8")] == []


@pytest.mark.timeout(600)
def test_the_script_runs_and_leaves_what_the_page_says(ray_address: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "left")],
        env=os.environ | {"RAY_ADDRESS": ray_address},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ten tiles: (10, 16, 16, 3)" in done.stdout
    found = re.search(r"best of the sweep: (\S+), of the study: (\S+)", done.stdout)
    assert found is not None and found[1] == found[2]
    left = tmp_path / "left"
    read = optuna.load_study(study_name="from-python", storage=f"sqlite:///{left}/study.db")
    trials = pd.read_parquet(left / "sweep" / "results.parquet")
    assert len(read.trials) == len(trials) == 3
    assert {trial.user_attrs["run_id"] for trial in read.trials} == set(trials["run_id"])
    assert {"report.html", "trials.json", "importance.parquet"} <= {file.name for file in (left / "sweep").iterdir()}
