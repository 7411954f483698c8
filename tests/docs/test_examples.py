import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "flower_digits.py"


def test_the_plain_flower_app_learns_digits(ray_address):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env=os.environ | {"RAY_ADDRESS": ray_address},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    accuracies = [float(found) for found in re.findall(r"round +\d+: ([\d.]+) %", done.stdout)]
    assert len(accuracies) == 5
    assert accuracies[0] < 20
    assert accuracies[-1] > 85
