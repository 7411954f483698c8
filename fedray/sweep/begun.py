"""A sweep that has begun: what its search and its promotion have in common."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedray.data import TileStore
from fedray.experiment import Prepared, judging_of
from fedray.experiment.judging import Judge
from fedray.results import Place
from fedray.results.start import Start
from fedray.sweep.space import SearchSpace
from fedray.tracking import TrackedRun, Tracker


@dataclass(frozen=True)
class BegunSweep:
    """A sweep whose folder and whose own run are open."""

    space: SearchSpace
    store: TileStore
    start: Start | None
    """What all trials start from; None where their networks are drawn."""
    out: Place
    evaluator: Judge
    prepared: Prepared
    """The same for other processes."""
    tracker: Tracker
    parent: TrackedRun
    """The sweep's own run."""
    tags: Mapping[str, str]
    """Of its run and of every trial's."""

    @property
    def score_names(self) -> list[str]:
        """Names of all scores that an evaluation gives."""
        return judging_of(self.space.fixed).score_names(self.space.fixed, self.store)
