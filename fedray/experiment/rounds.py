"""One experiment, a round at a time: train, evaluate, checkpoint. A plain run, a Tune trial and `flwr run` drive it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from fedray.config import SITES, ExperimentConfig
from fedray.data import Census, census_of
from fedray.experiment.judging import Evaluation, judging_of
from fedray.experiment.judging.samples import evaluate_tiles, wanted
from fedray.experiment.stopping import is_done, with_validation
from fedray.federation import (
    Account,
    DivergedError,
    FederationState,
    RoundReport,
    federate,
    initial_state,
    latest_round,
    load_checkpoint,
    make_strategy,
    sample_from_clients,
    save_round,
    shared_arrays,
)
from fedray.results.pictures import Preview
from fedray.simulation import RayGrid
from fedray.tasks import judged_arrays

RunElsewhere = Callable[..., Any]
"""Calls a function with arguments on some worker, and returns its result."""


@dataclass(frozen=True)
class RoundResult:
    """A round and, where it was evaluated, its scores."""

    report: RoundReport
    evaluation: Evaluation | None

    @property
    def metrics(self) -> dict[str, float]:
        """All figures of the round by name: scores, losses, counts, times.

        Scores have the names that come first by the alphabet: MLflow's views begin with the first metric.
        """
        report = self.report
        figures = {
            "round-seconds": report.duration_s,
            "round/clients": report.num_clients,
            "round/clients-failed": report.num_failed,
            **{f"round-seconds/{part}": seconds for part, seconds in report.times.items()},
        }
        if report.utilisation is not None:
            figures["worker-utilisation"] = report.utilisation
        if report.epsilon is not None:
            figures["privacy/epsilon"] = report.epsilon
        if self.evaluation is not None:
            figures["scoring-seconds"] = self.evaluation.seconds
            if self.evaluation.validation is not None:
                figures["validation/loss"] = self.evaluation.validation
        scores = self.evaluation.scores if self.evaluation else {}
        return {
            **scores,
            **{f"loss/{name}": value for name, value in report.losses.items()},
            **figures,
            **{f"round/{name}": value for name, value in report.counts.items()},
        }


def call_here(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run in this process: where there are no workers to ask."""
    return function(*arguments)


class ExperimentRun:
    """The state of a running experiment."""

    def __init__(
        self,
        config: ExperimentConfig,
        grid: Grid,
        run_elsewhere: RunElsewhere = call_here,
        account: Account | None = None,
        census: Census | None = None,
    ) -> None:
        """Stand before round 1.

        Args:
            config: Of the experiment.
            grid: Where the clients are.
            run_elsewhere: Where to evaluate.
            account: Of what it releases under differential privacy; unset: it begins here, and ends with the process.
            census: Of the clients' tiles; unset: of this process's store, which is also what generators are judged by.
        """
        self.config, self.grid, self.account = config, grid, account or Account()
        self._run_elsewhere = run_elsewhere
        self._census = census or census_of(config)
        self._start(initial_state(config, self._census.shape))

    def _start(self, state: FederationState) -> None:
        self.state = state
        strategy = make_strategy(self.config, self._census.shape)
        self._rounds = federate(strategy, self.grid, state, self.config, self._census, self.account)

    @property
    def done(self) -> bool:
        """Whether all rounds are done."""
        return is_done(self.config, self.state)

    @property
    def due(self) -> bool:
        """Whether the last round is one that is evaluated: none is where only the clients have real tiles."""
        if self.config.data.store == SITES:
            return False
        return self.done or self.state.round_index % self.config.evaluation.every == 0

    def step(self) -> RoundResult:
        """Run the next round, and evaluate it where its turn has come.

        Raises:
            DivergedError: A loss, a weight, a moment or a tile is not finite, or a loss has exploded.
            FederationError: Too many clients failed.
        """
        report = next(self._rounds)
        if not self.due:
            return RoundResult(report, None)
        return RoundResult(report, with_validation(self.config, self.state, self.evaluate(), self.evaluate))

    def evaluate(self) -> Evaluation:
        """Judge what is trained as it is now.

        Raises:
            DivergedError: It makes tiles, or gives answers, that are not finite.
        """
        round_index, arrays = self.state.round_index, judged_arrays(self.config, shared_arrays(self.state))
        evaluation: Evaluation
        try:
            if arrays:
                evaluation = self._run_elsewhere(judging_of(self.config).evaluate, self.config, round_index, arrays)
            else:  # what makes the tiles stays with the clients
                tiles = sample_from_clients(self.grid, self.config, round_index, *wanted(self.config))
                evaluation = self._run_elsewhere(evaluate_tiles, self.config, tiles)
        except DivergedError as error:  # a worker's carries its traceback; what it says is in its cause
            raise DivergedError(f"round {round_index}: {getattr(error, 'cause', error)}") from None
        return evaluation

    def preview(self) -> Preview | None:
        """Show what is trained as it is now, unjudged; None where it stays with the clients, or shows nothing."""
        arrays = judged_arrays(self.config, shared_arrays(self.state))
        if not arrays:
            return None
        preview: Preview | None = self._run_elsewhere(judging_of(self.config).preview, self.config, arrays)
        return preview

    def save(self, folder: Path) -> None:
        """Write a checkpoint from which :meth:`load` continues as if nothing had happened, and remove older ones.

        Args:
            folder: Of this experiment's checkpoints.
        """
        states = self.grid.state_snapshot() if isinstance(self.grid, RayGrid) else {}
        save_round(folder, self.state, states)

    def load(self, folder: Path) -> None:
        """Continue from the newest checkpoint in a folder; without any, from the beginning."""
        newest = latest_round(folder)
        if newest is None:
            return
        state, client_states = load_checkpoint(newest)
        if isinstance(self.grid, RayGrid):
            self.grid.restore_state(client_states)
        self._start(state)
