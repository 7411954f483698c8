"""Trials of no federation for the real Tune: each scores by its values and round as a function says."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import TRAINING_ITERATION

from fedray.cluster import ClusterSize, NodeSize
from fedray.results import Place
from fedray.simulation import WorkerResources
from fedray.sweep import SearchSpace, SweepPlan
from fedray.sweep.searcher import COMPLETED, OptunaSearcher
from fedray.sweep.tuning import run_trials

Scores = Callable[[Mapping[str, Any], int], Mapping[str, float]]
"""All scores of a configuration after a round, by name; none where that round is not evaluated."""


def quick_sweep(space: SearchSpace, scores: Scores, out: Path, max_concurrent: int = 1) -> OptunaSearcher:
    """Run a sweep through Tune; one trial at a time ends the same each time.

    Args:
        space: What is searched.
        scores: A function in a function: it is sent to the trials' processes, which find no tests to import.
        out: Of the sweep.
        max_concurrent: Trials at a time.
    """
    plan = SweepPlan(WorkerResources(1), max_concurrent, ClusterSize((NodeSize(4.0),)))
    trial = tune.with_resources(_trainable(space.fixed.federation.num_rounds, scores), {"CPU": 1})
    searcher, _ = run_trials(trial, space, plan, Place(out))
    return searcher


def sweep_here(space: SearchSpace, scores: Scores) -> OptunaSearcher:
    """Run a sweep without Tune, one trial after the other, each to its end; as :func:`quick_sweep` with one at a time.

    Args:
        space: What is searched, without early stopping.
        scores: A function.
    """
    searcher, num_rounds = OptunaSearcher(space), space.fixed.federation.num_rounds
    for number in range(space.num_trials):
        values = searcher.suggest(f"t{number:02}")
        assert isinstance(values, dict)
        result = {**scores(values, num_rounds), TRAINING_ITERATION: num_rounds, COMPLETED: True}
        searcher.on_trial_complete(f"t{number:02}", result)
    return searcher


def _trainable(num_rounds: int, scores: Scores) -> type[tune.Trainable]:
    """Return a trial; what it needs of this module is in it, for the same reason."""
    index = TRAINING_ITERATION

    class Quick(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.values, self.round = config, 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            self.round += 1
            done, found = self.round == num_rounds, dict(scores(self.values, self.round))
            told = {f"scores/{name}": value for name, value in found.items()}
            return {**found, **told, index: self.round, "completed": done, "done": done}

        def save_checkpoint(self, folder: str) -> None:
            (Path(folder) / "round").write_text(str(self.round))

        def load_checkpoint(self, folder: str) -> None:
            self.round = int((Path(folder) / "round").read_text())

    return Quick
