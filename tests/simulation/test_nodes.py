import os
import subprocess
import sys
from pathlib import Path

from tests.support.real_ray import without_the_suites_ray


def test_a_lost_node_costs_neither_results_nor_states_and_the_pool_grows_back():
    """Averages and states equal those of the undisturbed run; see lost_node.py."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[1] / "support" / "lost_node.py")],
        env=without_the_suites_ray(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout
