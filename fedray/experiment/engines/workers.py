"""The federation on Flower's grid: FedRay's workers, a trial's, or the nodes of `flwr run`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from flwr.app import RecordDict
from flwr.serverapp import Grid

from fedray.config import DataConfig, ExperimentConfig
from fedray.data import Census, census_of
from fedray.experiment.engines.base import RoundResult, checkpoint_of, with_noise_of
from fedray.experiment.judging import Evaluation, judging_of
from fedray.experiment.prepare import Prepared, install_evaluation
from fedray.experiment.starting import first_state
from fedray.experiment.stopping import is_done, is_due, with_validation
from fedray.federation import (
    Account,
    DivergedError,
    FederationState,
    client_app,
    federate,
    load_round,
    make_strategy,
    save_round,
    shared_arrays,
)
from fedray.results.pictures import Preview
from fedray.results.start import Start
from fedray.simulation import RayGrid, WorkerPool, WorkerResources
from fedray.tasks import judged_arrays

RunElsewhere = Callable[..., Any]
"""Calls a function with arguments on some worker, and returns its result."""

_EVALUATION_TIMEOUT_S = 1800.0
"""Longest that judging a round may take, in seconds."""


def start_workers(config: ExperimentConfig, resources: WorkerResources, prepared: Prepared) -> WorkerPool:
    """Start the worker processes of an experiment.

    Args:
        config: Of the experiment.
        resources: How many, and what each takes.
        prepared: The evaluation (see :func:`prepare_judge`).
    """
    setup = partial(prepare_worker, max(1, int(resources.cpus_per_worker)), prepared, config.data)
    return WorkerPool(resources, start_timeout_s=config.resources.start_timeout_s, setup=setup)


def prepare_worker(num_threads: int, prepared: Prepared, data: DataConfig) -> None:
    """Give a worker process its share of the cores (PyTorch takes all of them unless it is told), and the extractor.

    Raises:
        StoreError: Its node has other tiles.
    """
    torch.set_num_threads(num_threads)
    install_evaluation(prepared, data)


def call_here(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run in this process: where there are no workers to ask."""
    return function(*arguments)


@contextmanager
def on_workers(
    config: ExperimentConfig,
    resources: WorkerResources,
    prepared: Prepared,
    account: Account | None,
    pool: WorkerPool | None,
    start: Start | None = None,
) -> Iterator["ExperimentRun"]:
    """Put an experiment on a pool of workers, which stays for the next one, or on its own, which end with it.

    Args:
        config: Of the experiment.
        resources: Of workers of its own.
        prepared: What judges (see :func:`prepare_judge`).
        account: As of :class:`ExperimentRun`.
        pool: The pool; unset: own ones.
        start: As of :class:`ExperimentRun`.
    """
    with ExitStack() as stack:
        there = pool or stack.enter_context(start_workers(config, resources, prepared))
        grid = stack.enter_context(closing(RayGrid(client_app, config.num_clients, there)))
        yield ExperimentRun(config, grid, partial(there.run, timeout_s=_EVALUATION_TIMEOUT_S), account, start=start)


@runtime_checkable
class Memory(Protocol):
    """A grid that knows the states of its clients: a checkpoint holds them too."""

    def state_snapshot(self) -> dict[int, RecordDict]:
        """Return each client's, by node."""
        ...

    def restore_state(self, states: Mapping[int, RecordDict]) -> None:
        """Go on with them."""
        ...


class ExperimentRun:
    """An experiment whose clients are on a grid. See :class:`fedray.experiment.engines.Run`."""

    def __init__(
        self,
        config: ExperimentConfig,
        grid: Grid,
        run_elsewhere: RunElsewhere = call_here,
        account: Account | None = None,
        census: Census | None = None,
        start: Start | None = None,
    ) -> None:
        """Stand before round 1.

        Args:
            config: Of the experiment.
            grid: Where the clients are.
            run_elsewhere: Where to evaluate.
            account: Of what it releases under differential privacy; unset: it begins here, and ends with the process.
            census: Of the clients' tiles; unset: of this process's store, which is also what generators are judged by.
            start: What ``starts_from`` names, where it is open already; unset: it is opened here.

        Raises:
            StartError: It does not fit.
        """
        self.config, self.grid, self.account = config, grid, account or Account()
        self._run_elsewhere = run_elsewhere
        self._census = census or census_of(config)
        self._start(first_state(config, self._census, start))

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
        """Whether the last round is one that is evaluated."""
        return is_due(self.config, self.state)

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

    def evaluate(self, seed: int | None = None) -> Evaluation:
        """Judge what is trained as it is now.

        Args:
            seed: Of the noise that tiles are made from; unset: the experiment's.

        Raises:
            DivergedError: It makes tiles, or gives answers, that are not finite.
        """
        round_index, arrays = self.state.round_index, judged_arrays(self.config, shared_arrays(self.state))
        judging, config = judging_of(self.config), with_noise_of(self.config, seed)
        evaluation: Evaluation
        try:
            if arrays:
                evaluation = self._run_elsewhere(judging.evaluate, config, round_index, arrays)
            else:  # what is judged stays with the clients
                answers = judging.ask_clients(self.grid, config, self.state)
                evaluation = self._run_elsewhere(judging.evaluate_answers, config, answers)
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
        states = self.grid.state_snapshot() if isinstance(self.grid, Memory) else {}
        save_round(folder, self.state, states, checkpoint_of(self.config))

    def load(self, folder: Path) -> None:
        """Continue from the newest checkpoint in a folder; without any, from the beginning."""
        kept = load_round(folder, checkpoint_of(self.config))
        if kept is None:
            return
        if isinstance(self.grid, Memory):
            self.grid.restore_state(kept.client_states)
        self._start(kept.state)
