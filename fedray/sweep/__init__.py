"""Sweeps: a search space, Tune and Optuna over whole experiments, one MLflow child run a trial."""

from fedray.sweep.check import saved_space
from fedray.sweep.kept import export_study, open_study
from fedray.sweep.plan import SweepPlan, plan_sweep
from fedray.sweep.results import SweepResult
from fedray.sweep.run import SweepError, run_sweep
from fedray.sweep.space import SearchSpace, load_space

__all__ = [
    "SearchSpace",
    "SweepError",
    "SweepPlan",
    "SweepResult",
    "export_study",
    "load_space",
    "open_study",
    "plan_sweep",
    "run_sweep",
    "saved_space",
]
