"""Live progress of a sweep: trials, rounds, best score, time left."""

import time
from pathlib import Path
from typing import Any

from ray import tune
from rich.live import Live
from rich.text import Text

from fedray.sweep.searcher import COMPLETED, COUNTED_ROUND, DIVERGED, SCORE_NOW
from fedray.sweep.space import SearchSpace
from fedray.terminal import clock, plain_console


class SweepProgress(tune.Callback):
    """Keeps a status line up to date on a terminal; prints a line a scored round where the output is a file.

    What it shows is read off Tune's trials, so that it is right after a resume too. It pickles as its search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Wait for the sweep to begin."""
        self._space = space

    def __getstate__(self) -> dict[str, Any]:
        """Leave the terminal behind."""
        return {"_space": self._space}

    def setup(self, **info: Any) -> None:
        """Show the line."""
        self._console = plain_console()
        self._trials: list[Any] = []
        self._started = time.monotonic()
        self._first_round: float | None = None
        self._rounds_here = 0
        self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self.status, transient=True)
        if self._console.is_terminal:
            self._live.start()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Count a round."""
        self._trials = trials
        self._rounds_here += 1
        self._first_round = self._first_round or time.monotonic()
        worth_a_line = DIVERGED in result or self._space.goal.metric in result
        if worth_a_line and not self._console.is_terminal:
            self._console.print(f"{self._round_line(trial, result)} | {self.status()}", soft_wrap=True)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a trial was interrupted, by what, and where it goes on."""
        checkpoint = trial.latest_checkpoint_result
        where = f"after round {checkpoint.metrics['training_iteration']}" if checkpoint else "from its start"
        count = f"{trial.num_failures} of at most {self._space.max_failures} failures"
        self._console.print(
            f"trial {trial.trial_id} was interrupted: {_last_error(trial)} It goes on {where} ({count}).",
            soft_wrap=True,
        )

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look at the trials."""
        self._trials = trials

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Take the line away."""
        if self._live.is_started:
            self._live.stop()

    def status(self) -> Text:
        """Say how far the sweep is."""
        ended = [trial for trial in self._trials if trial.is_finished()]
        rounds = sum(_rounds(trial) for trial in self._trials)
        total = self._space.num_trials
        return Text(f"{len(ended)}/{total} trials, {rounds} rounds, {self._best_so_far()}, {self._time_left(ended)}")

    def _round_line(self, trial: Any, result: dict[str, Any]) -> str:
        metric = self._space.goal.metric
        outcome = result.get(DIVERGED) or f"{metric} {result.get(SCORE_NOW, result[metric]):.4g}"
        counted = result.get(COUNTED_ROUND, result["training_iteration"])
        if DIVERGED not in result and counted != result["training_iteration"]:
            outcome = f"{outcome} (best {result[metric]:.4g}, round {counted})"
        return f"trial {trial.trial_id} round {result['training_iteration']}: {outcome}"

    def _best_so_far(self) -> str:
        metric, pick = self._space.goal.metric, min if self._space.goal.mode == "min" else max
        done = [trial for trial in self._trials if trial.last_result.get(COMPLETED)]
        bounds = self._space.bounds
        scores = [
            (trial.last_result[metric], trial.trial_id)
            for trial in done
            if all(bound.excess(trial.last_result) <= 0 for bound in bounds)
        ]
        if not scores:
            return "no complete trial keeps the constraints yet" if done else "no trial complete yet"
        score, trial_id = pick(scores)
        return f"best {score:.4g} (trial {trial_id})"

    def _time_left(self, ended: list[Any]) -> str:
        """Estimate at the pace since the first round: who runs will take all rounds, who waits as many as who ended."""
        elapsed = clock(time.monotonic() - self._started)
        if self._first_round is None or self._rounds_here < 2:
            return f"{elapsed} gone, starting workers"
        whole = self._space.fixed.federation.num_rounds
        running = [whole - _rounds(trial) for trial in self._trials if _rounds(trial) and trial not in ended]
        expected = sum(_rounds(trial) for trial in ended) / len(ended) if ended else whole
        left = sum(running) + expected * (self._space.num_trials - len(ended) - len(running))
        pace = (time.monotonic() - self._first_round) / (self._rounds_here - 1)
        return f"{elapsed} gone, about {clock(left * pace)} left"


def _last_error(trial: Any) -> str:
    """Return the line of what Ray found that has the cause: the last one of a traceback."""
    _, _, last = Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")
    lines = [line.strip() for line in last.splitlines()[1:] if line.strip()] or ["Ray gives no reason."]
    of_an_actor = (line for line in lines if line.startswith("The actor died because"))
    return next(of_an_actor, lines[-1] if lines[0].startswith("ray::") else lines[0])


def _rounds(trial: Any) -> int:
    return int((trial.last_result or {}).get("training_iteration", 0))
