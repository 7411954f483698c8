"""Tune's controller in small: what it tells a search and a scheduler, in which order, and what it saves when.

Written after ``ray/tune/execution/tune_controller.py`` of Ray 2.55: ``_process_trial_result``, ``stop_trial``,
``_requeue_restored_trials``, and the snapshot at the end of every event. A trial is a score by parameters and round.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray import cloudpickle as pickle
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import TrialScheduler

from fedray.sweep.searcher import COMPLETED, DIVERGED, SweepSearch
from fedray.sweep.space import SearchSpace
from fedray.sweep.stopping import RungScheduler

Score = Callable[[dict[str, Any], int], float | None]
"""Score of a configuration after a round; None where that round is not evaluated, infinity where it diverges."""


class SmallTune:
    """A driver of one sweep; another one in the same folder goes on after the last snapshot."""

    def __init__(self, space: SearchSpace, score: Score, folder: Path, max_concurrent: int, checkpoint_every: int):
        self.space, self.score, self.folder = space, score, folder
        self.max_concurrent, self.checkpoint_every = max_concurrent, checkpoint_every
        self.trials: dict[str, dict[str, Any]] = {}  # state that Tune keeps of each: values, rounds, outcome
        self.counter = 0
        if (folder / "tuner.pkl").exists():
            self.search, self.scheduler = pickle.loads((folder / "tuner.pkl").read_bytes())
            if (folder / "trials.json").exists():
                saved = json.loads((folder / "trials.json").read_text())
                self.trials, self.counter = saved["trials"], saved["counter"]
                self.search.optuna.restore_from_dir(str(folder))
                self.search.searcher.live_trials = {name for name, trial in self.trials.items() if trial["live"]}
                for trial in self.trials.values():  # a trial in flight goes on after its checkpoint
                    if trial["live"]:
                        trial["rounds"] -= trial["rounds"] % checkpoint_every
        else:
            self.search = SweepSearch(space, max_concurrent)
            self.scheduler = RungScheduler(self.search.optuna)
            (folder / "tuner.pkl").write_bytes(pickle.dumps((self.search, self.scheduler)))

    def event(self) -> bool:
        """Let one thing happen, without the snapshot that comes after it; False where all is done."""
        live = {name: trial for name, trial in self.trials.items() if trial["live"]}
        if len(live) < self.max_concurrent and self.counter < self.space.num_trials:
            name = f"trial{self.counter}"
            values = self.search.searcher.suggest(name)
            if values is not None:
                self.trials[name] = {"values": values, "rounds": 0, "live": True, "number": self.counter}
                self.counter += 1
                return True
        if not live:
            return False
        name = min(live, key=lambda name: (live[name]["rounds"], live[name]["number"]))
        self._round(name, live[name])
        return True

    def snapshot(self) -> None:
        """Save everything, as Tune does after each event."""
        self.search.optuna.save_to_dir(str(self.folder), "now")
        (self.folder / "trials.json").write_text(json.dumps({"trials": self.trials, "counter": self.counter}))

    def outcomes(self) -> dict[str, tuple[dict[str, Any], int, str]]:
        """Values, rounds and outcome of every trial that the study has."""
        return {
            trial.user_attrs["trial_id"]: (trial.params, trial.last_step or 0, trial.state.name)
            for trial in self.search.optuna.study.trials
            if "trial_id" in trial.user_attrs
        }

    def _round(self, name: str, trial: dict[str, Any]) -> None:
        trial["rounds"] += 1
        done = trial["rounds"] >= self.space.fixed.federation.num_rounds
        score = self.score(trial["values"], trial["rounds"])
        result = {TRAINING_ITERATION: trial["rounds"], COMPLETED: done, "done": done}
        if score == float("inf"):
            result |= {DIVERGED: "a loss", COMPLETED: False, "done": True}
        elif score is not None:
            result[self.space.goal.metric] = score
        told = SimpleNamespace(trial_id=name)
        stop = result["done"] or self.scheduler.on_trial_result(None, told, result) == TrialScheduler.STOP
        if not stop:
            self.search.on_trial_result(name, result)
            return
        self.scheduler.on_trial_complete(None, told, result)
        self.search.on_trial_complete(name, result=result)
        trial["live"] = False
