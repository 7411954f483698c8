"""What is said of a sweep before it starts."""

from pathlib import Path

from fedray.experiment.budget import short_training
from fedray.sweep import load_space


def test_the_shipped_sweep_is_long_enough_and_half_its_rounds_are_said_calmly_to_be_short():
    """Its critic's steps are searched, and no option changes them."""
    space = load_space(Path(__file__).parents[2] / "search_spaces" / "wgan_gp.yaml")
    trials = [space.trial_config({**space.start_points[0], "gan.n_critic": n}).resolved() for n in (5, 1)]
    shorter = trials[0].federation.model_copy(update={"num_rounds": trials[0].federation.num_rounds // 2})
    short = [trial.model_copy(update={"federation": shorter}) for trial in trials]
    assert list(short_training(trials, space.search)) == []
    [told] = short_training(short, space.search)
    assert told.startswith("budget: short: ") and "--federation.num-rounds " in told and "n-critic" not in told
