"""Early stopping for Ray Tune that a stopped sweep remembers.

Ray's own scheduler keeps what it has seen in memory alone, and Tune saves no scheduler: a resumed sweep would compare
the trials that are left with each other only. Here the memory belongs to the searcher, whose state is saved.
"""

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from fedray.sweep.searcher import OptunaSearcher


class RungScheduler(FIFOScheduler):
    """Stops the trials that their searcher's rungs stop. It has no state of its own."""

    def __init__(self, searcher: OptunaSearcher) -> None:
        """Decide by a searcher's rungs: those that it has when it is asked."""
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> Any:
        """Stop or go on; a round without a score decides nothing."""
        return TrialScheduler.CONTINUE if self._goes_on(trial, result) else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """Note a last score: Tune does not ask about the result with which a trial says that it is done."""
        self._goes_on(trial, result)

    def _goes_on(self, trial: Trial, result: Mapping[str, Any]) -> bool:
        score = result.get(self._searcher.metric)
        return score is None or self._searcher.goes_on(trial.trial_id, result[TRAINING_ITERATION], score)
