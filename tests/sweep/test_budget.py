"""What is said of a sweep before it starts."""

from pathlib import Path

from fedray.experiment.budget import short_training
from fedray.sweep import load_space


def test_the_shipped_sweep_says_calmly_that_it_is_short_and_twice_its_rounds_say_nothing():
    """Its critic's steps are searched, and no option changes them."""
    space = load_space(Path(__file__).parents[2] / "search_spaces" / "wgan_gp.yaml")
    trials = [space.trial_config({**space.start_points[0], "gan.n_critic": n}).resolved() for n in (5, 1)]
    longer = trials[0].federation.model_copy(update={"num_rounds": 32})
    long = [trial.model_copy(update={"federation": longer}) for trial in trials]
    assert list(short_training(long, space.search)) == []
    [told] = short_training(trials, space.search)
    assert told.startswith("budget: short: ") and "--federation.num-rounds " in told and "n-critic" not in told
