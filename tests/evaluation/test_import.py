import subprocess
import sys
from pathlib import Path

HEAVY = ["scipy", "sklearn", "timm", "torch_fidelity"]


def test_what_only_evaluations_need_is_not_imported_before_one() -> None:
    """Every trial, worker and job imports this package; these take seconds of each."""
    script = f"import sys, fedray.evaluation; print([name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr
