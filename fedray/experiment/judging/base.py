"""What an experiment asks of whatever judges it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flwr.serverapp import Grid

from fedray.config import ExperimentConfig
from fedray.data import TileStore
from fedray.evaluation import ExtractorQuality, Scores, SelfTest
from fedray.evaluation.extractors import Extractor
from fedray.federation import FederationState
from fedray.learning import Arrays
from fedray.results.pictures import Preview


@dataclass(frozen=True)
class Evaluation:
    """Scores of a round, and something of it to look at."""

    scores: Scores
    preview: Preview
    seconds: float = 0.0
    """What it took."""
    validation: float | None = None
    """Loss on tiles that the clients hold back, where they do."""


class Judge(Protocol):
    """What an experiment is judged by, prepared before its first round."""

    @property
    def floor(self) -> Scores:
        """What stands beside the scores: of real tiles in the generator's place, or of who always answers the same."""
        ...

    @property
    def extractor(self) -> Extractor | None:
        """The features compared in; None where none are."""
        ...

    @property
    def quality(self) -> ExtractorQuality | None:
        """How well an extractor that was trained on the store tells its labels apart."""
        ...

    @property
    def self_test(self) -> SelfTest | None:
        """What destroyed tiles score; None where nothing was tested."""
        ...


class Heading(NamedTuple):
    """Words above the final scores."""

    title: str
    judged: str
    """Of the column of the scores."""
    beside: str
    """Of the floor's."""


class Judging(Protocol):
    """A module of :mod:`fedray.experiment.judging`. What runs on a worker takes plain values."""

    FILES: tuple[str, ...]
    """Of the results: the picture of the last round first."""
    BESIDE: tuple[str, str]
    """Words for the floor in a table of trials: of its first columns."""
    RUNS: str
    """Word for all runs that are judged so, in the names of pages."""

    def check(self, config: ExperimentConfig, store: TileStore) -> None:
        """Refuse tiles by which nothing can be judged; starts nothing.

        Raises:
            ValueError: The message names the value, the rule and the remedy.
        """
        ...

    def settled(self, config: ExperimentConfig, store: TileStore) -> Mapping[str, Any]:
        """Return what the store decides of the section ``evaluation``, by field."""
        ...

    def score_names(self, config: ExperimentConfig, store: TileStore) -> list[str]:
        """Name the scores that an evaluation will give."""
        ...

    def notes(self, config: ExperimentConfig, store: TileStore) -> list[str]:
        """Say what a user should know of the scores before anything starts."""
        ...

    def prepare(self, config: ExperimentConfig) -> tuple[Judge, Mapping[str, bytes]]:
        """Get what judges, in this process; returns it with the files that another machine needs of it, by name."""
        ...

    def evaluate(self, config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
        """Judge what a round trained, by the arrays of :func:`fedray.tasks.judged_arrays`. Runs on a worker.

        Raises:
            DivergedError: What it makes or says is not finite.
        """
        ...

    def ask_clients(self, grid: Grid, config: ExperimentConfig, state: FederationState) -> Any:
        """Ask the clients what they make or say, where what is judged stays with them. Runs in this process.

        Raises:
            DivergedError: What one makes or says is not finite.
            FederationError: One failed or did not answer in time.
        """
        ...

    def evaluate_answers(self, config: ExperimentConfig, answers: Any) -> Evaluation:
        """Judge what they answered. Runs on a worker."""
        ...

    def preview(self, config: ExperimentConfig, arrays: Arrays) -> Preview | None:
        """Show it unjudged, as before the first round; None where that shows nothing. Runs on a worker."""
        ...

    def heading(self, config: ExperimentConfig) -> Heading:
        """Say what stands above the final scores."""
        ...
