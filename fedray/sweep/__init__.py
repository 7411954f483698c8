"""Sweeps: a search space, Tune and Optuna over whole experiments, one MLflow child run a trial."""

from fedray.sweep.check import saved_space
from fedray.sweep.plan import SweepPlan, plan_sweep
from fedray.sweep.results import SweepResult
from fedray.sweep.run import SweepError, run_sweep
from fedray.sweep.space import SearchSpace, load_space

__all__ = [
    "SearchSpace",
    "SweepError",
    "SweepPlan",
    "SweepResult",
    "load_space",
    "plan_sweep",
    "run_sweep",
    "saved_space",
]
