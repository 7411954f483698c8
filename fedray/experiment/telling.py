"""What MLflow is told of an experiment: all of it, or what a study needs of one of its many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from fedray.config import ExperimentConfig
from fedray.data import TileStore
from fedray.experiment.engines import RoundResult, Run
from fedray.experiment.judging import Evaluation, Judge
from fedray.experiment.pages import keep_experiment_pages
from fedray.experiment.self_tested import log_self_test
from fedray.experiment.tracked import log_model, log_round, log_start, open_plain_run, open_run
from fedray.federation import shared_arrays
from fedray.tracking import Pages, TrackedRun, Tracker

OnRound = Callable[[RoundResult], None]


class Telling(Protocol):
    """The run of an experiment in MLflow, from its start to its end."""

    def open(
        self, tracker: Tracker, config: ExperimentConfig, store: TileStore, key: str, tags: Mapping[str, str]
    ) -> TrackedRun:
        """Start the run of an experiment, or continue it."""
        ...

    def begin(
        self, run: Run, store: TileStore, tracker: Tracker, tracked: TrackedRun, judge: Judge, folder: Path
    ) -> Pages:
        """Tell what is known before the first round that is left; returns addresses of pages on it."""
        ...

    def on_round(self, tracked: TrackedRun, store: TileStore) -> OnRound:
        """Return what tells a round."""
        ...

    def end(self, run: Run, store: TileStore, tracked: TrackedRun, judge: Judge, evaluation: Evaluation) -> None:
        """Tell what came of it, beside the last picture."""
        ...


class Alone:
    """An experiment of its own: all of it."""

    def open(
        self, tracker: Tracker, config: ExperimentConfig, store: TileStore, key: str, tags: Mapping[str, str]
    ) -> TrackedRun:
        """Start or continue the run, with a picture of the partition."""
        return open_run(tracker, config, store, key=key, tags=tags)

    def begin(
        self, run: Run, store: TileStore, tracker: Tracker, tracked: TrackedRun, judge: Judge, folder: Path
    ) -> Pages:
        """Tell what the network makes before the first round, and the self-test."""
        if run.state.round_index == 0:
            log_start(tracked, store, run.preview())
        log_self_test(tracked, judge.self_test, folder)
        return keep_experiment_pages(run.config, store, tracker, tracked.run_id)

    def on_round(self, tracked: TrackedRun, store: TileStore) -> OnRound:
        """Tell figures and a picture."""
        return partial(log_round, tracked, store)

    def end(self, run: Run, store: TileStore, tracked: TrackedRun, judge: Judge, evaluation: Evaluation) -> None:
        """Log the model."""
        arrays, rounds = shared_arrays(run.state), run.state.round_index
        log_model(tracked, run.config, arrays, store, rounds, evaluation.scores, judge.floor)


ALONE = Alone()


@dataclass(frozen=True)
class Membership:
    """An experiment that is one of many: of a study.

    Its run has a parent, no model and no pictures of rounds: its folder has the arrays and the last picture.
    """

    parent_run_id: str
    name: str
    """Of its run."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """More tags of its run."""

    def open(
        self, tracker: Tracker, config: ExperimentConfig, store: TileStore, key: str, tags: Mapping[str, str]
    ) -> TrackedRun:
        """Start or continue the run below its parent."""
        all_tags = {**tags, **self.tags}
        parent = self.parent_run_id
        return open_plain_run(tracker, config, store, key=key, parent_run_id=parent, name=self.name, tags=all_tags)

    def begin(
        self, run: Run, store: TileStore, tracker: Tracker, tracked: TrackedRun, judge: Judge, folder: Path
    ) -> Pages:
        """Tell nothing."""
        return {}

    def on_round(self, tracked: TrackedRun, store: TileStore) -> OnRound:
        """Tell figures alone."""
        return lambda result: tracked.log_round(result.report.round_index, result.metrics)

    def end(self, run: Run, store: TileStore, tracked: TrackedRun, judge: Judge, evaluation: Evaluation) -> None:
        """Tell nothing."""
