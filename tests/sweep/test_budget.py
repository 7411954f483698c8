"""What is said of a sweep before it starts."""

from pathlib import Path

from fedray.experiment.budget import short_training
from fedray.sweep import load_space


def test_the_shipped_sweep_begins_without_a_warning():
    """It is sized for a laptop, and says so: its critic's steps are searched, and no option changes them."""
    space = load_space(Path(__file__).parents[2] / "search_spaces" / "wgan_gp.yaml")
    trials = [space.trial_config({**space.start_points[0], "gan.n_critic": n}).resolved() for n in (5, 1)]
    [told] = short_training(trials, space.search)
    assert told.startswith("budget: short: ") and "--federation.num-rounds " in told and "n-critic" not in told
