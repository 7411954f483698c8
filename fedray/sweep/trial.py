"""A Tune trial: one experiment whose step is one round, on workers that are kept from trial to trial."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector
from ray import tune
from ray.tune.result import TRAINING_ITERATION
from safetensors import SafetensorError

from fedray.config import ExperimentConfig
from fedray.data import local_store
from fedray.experiment import (
    Evaluation,
    Prepared,
    RoundResult,
    Run,
    log_round,
    log_start,
    open_experiment,
    open_run,
    start_workers,
)
from fedray.experiment.prepare import check_tiles
from fedray.federation import Account, DivergedError, latest_round
from fedray.results.files import BEST_ROUND, NEWEST_ROUND
from fedray.results.ledger import Ledger
from fedray.results.start import Start
from fedray.simulation import WorkerResources
from fedray.storage import sealed, unsealed, write_whole
from fedray.storage.owners import new_scratch_folder, remove_all
from fedray.sweep.counted import CountedRound
from fedray.sweep.dimensions import Value
from fedray.sweep.searcher import (
    BEGUN,
    COMPLETED,
    CORE_SECONDS,
    COUNTED_ROUND,
    DIVERGED,
    ENDED,
    GPU_SECONDS,
    SCORE_NOW,
    SCORES,
    SCORING_SECONDS,
    SECONDS,
    SPENT,
    STEPS,
    TRAINING_SECONDS,
)
from fedray.sweep.space import SearchSpace
from fedray.tasks import task_of
from fedray.tracking import Status, Tracker

_SPENT_FILE = "spent.json"


class FederatedTrial(tune.Trainable):
    """Runs one experiment after another in one placement group: ``reset_config`` begins the next on warm workers."""

    _run: Run
    _counted: CountedRound
    _begun: float
    _spent: dict[str, float]

    def setup(
        self,
        config: dict[str, Value],
        space: SearchSpace,
        workers: WorkerResources,
        tracking_uri: str,
        parent_run_id: str,
        prepared: Prepared,
        tags: dict[str, str],
        ledger: Ledger,
        start: Start | None = None,
    ) -> None:
        """Start the workers and begin the first trial.

        Args:
            config: Values of the searched paths.
            space: The sweep.
            workers: What the trial's placement group holds.
            tracking_uri: Of MLflow.
            parent_run_id: The sweep's run.
            prepared: The evaluation, computed once for all trials.
            tags: Of every trial's run, beside those that describe its experiment.
            ledger: Of the sweep: what its trials release under differential privacy.
            start: What all trials start from, read once for all of them; unset: their networks are drawn.
        """
        self._space, self._parent_run_id, self._tags, self._ledger = space, parent_run_id, tags, ledger
        self._starts_from = start
        check_tiles(prepared, space.fixed.data)
        told, kept_in = space.fixed.tracking, ledger.address
        self._tracker = Tracker(tracking_uri, told.experiment, real_tiles=told.real_tiles, kept_in=kept_in)
        self._pool, self._prepared = start_workers(space.fixed, workers, prepared), prepared
        self._scratch = new_scratch_folder()  # not of a trial: Tune saves one that is done once more
        self._begin(config)

    def reset_config(self, new_config: dict[str, Value]) -> bool:
        """Begin the next trial; the trial before it ended or was stopped."""
        self._end("FINISHED")
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run one round. A diverged trial reports so and ends."""
        started, self._begun = time.monotonic(), time.time()
        try:
            if self._run.done or self._result_lost:  # the driver was killed between a round's checkpoint and its result
                return self._repeat_result()
            if self._run.state.round_index == 0:
                log_start(self._tracked, self._store, self._run.preview())
            result = self._run.step()
        except DivergedError as error:
            self._end("FAILED")
            self._spent = with_round(self._spent, self._space, self._pool.resources, started)
            return {DIVERGED: str(error), COMPLETED: False, "done": True, **self._told()}
        self._spent = with_round(self._spent, self._space, self._pool.resources, started, result)
        log_round(self._tracked, self._store, result)
        return self._result(result.metrics, result.evaluation)

    def _repeat_result(self) -> dict[str, Any]:
        self._result_lost = False
        evaluation = self._run.evaluate() if self._run.due else None
        return self._result(evaluation.scores if evaluation else {}, evaluation)

    def _result(self, metrics: Mapping[str, float], evaluation: Evaluation | None) -> dict[str, Any]:
        """Say what a round brought, under the scores' own names those by which the trial is judged after it."""
        told = self._told()
        if evaluation is not None:
            judged = self._counted.see(self._run, evaluation)
            told |= {**judged, **_prefixed(SCORES, judged)}
            told[SCORE_NOW] = evaluation.scores.get(self._space.goal.metric, math.nan)
        if self._counted.found is not None:
            told[COUNTED_ROUND] = self._counted.found.round_index
        done = self._run.done
        if done:
            self._end("FINISHED")
        return {**metrics, TRAINING_ITERATION: self._run.state.round_index, COMPLETED: done, "done": done, **told}

    def _told(self) -> dict[str, float]:
        return {**_prefixed(SPENT, self._spent), BEGUN: self._begun, ENDED: time.time()}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the federation as it is after this round, and the round that counts until now."""
        self._tracked.flush()  # first: a killed trial goes on after its checkpoint and does not log those rounds again
        self._counted.save(self._run, Path(checkpoint_dir))
        write_whole(Path(checkpoint_dir) / _SPENT_FILE, sealed(self._spent))

    def restore(self, checkpoint_path: Any) -> None:
        """Continue after the round of a checkpoint, or of the trial's newest whole one if that is gone.

        Tune removes a trial's old checkpoint before its saved state names the new one: a driver that is killed in
        between leaves a state that names one which is not there. The newest one's result was perhaps lost with the
        driver, so it is told again: early stopping judges by that round, not by the next.
        """
        named = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        named = tune.Checkpoint.from_directory(named) if isinstance(named, str) else named
        folder, _, _ = str(named.path).rpartition("/")
        found = named.filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
        if str(named.path) in {info.path for info in found}:
            super().restore(checkpoint_path)
            return
        for path in sorted((info.path for info in found if info.base_name.startswith("checkpoint_")), reverse=True):
            with suppress(ValueError, OSError, SafetensorError):  # half of one, from when its node was lost
                super().restore(tune.Checkpoint(path, named.filesystem))
                self._result_lost = True
                return
        super().restore(checkpoint_path)  # it says what is missing

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Continue after the round of a checkpoint.

        Raises:
            ValueError: It holds no whole round.
        """
        assert isinstance(checkpoint, str), "save_checkpoint writes into the folder it is given"
        if latest_round(Path(checkpoint) / NEWEST_ROUND) is None:
            raise ValueError(f"{checkpoint} holds no whole round of a federation")
        self._run.load(Path(checkpoint) / NEWEST_ROUND)
        self._counted.load(Path(checkpoint))
        spent = Path(checkpoint) / _SPENT_FILE
        self._spent = unsealed(spent.read_bytes(), spent)

    def cleanup(self) -> None:
        """End the last trial and its workers. One in the middle counts as killed until its sweep concludes it."""
        self._end("FINISHED" if self._run.done else "KILLED")
        self._pool.close()
        remove_all(self._scratch)

    def _begin(self, params: dict[str, Value]) -> None:
        config = self._space.trial_config(params)
        self._store = local_store(config.data)
        name = run_name(self._space.name, self.trial_id, params)
        self._tracked = open_run(
            self._tracker,
            config,
            self._store,
            key=self.trial_id,
            parent_run_id=self._parent_run_id,
            name=name,
            tags=self._tags,
        )
        self._open, self._opened = True, ExitStack()
        remove_all(self._scratch / BEST_ROUND)
        self._counted = CountedRound(self._space, self._scratch)
        self._spent, self._result_lost = {}, False
        account = self._account(config)
        opened = open_experiment(config, self._pool.resources, self._prepared, account, self._pool, self._starts_from)
        self._run = self._opened.enter_context(opened)

    def _account(self, config: ExperimentConfig) -> Account | None:
        if not self._space.is_private:
            return None
        account = self._ledger.account(self.trial_id)
        if not config.is_private:  # its noise was searched, and is none: the sweep as a whole has no guarantee
            account.count_at_least(0.0, 1)
        return account

    def _end(self, status: Status) -> None:
        if self._open:
            self._open = False
            self._tracked.finish(status)
            self._opened.close()


def with_round(
    spent: Mapping[str, float],
    space: SearchSpace,
    held: WorkerResources,
    started: float,
    result: RoundResult | None = None,
) -> dict[str, float]:
    """Add a round to what a trial has spent; clients with differential privacy do not tell their steps.

    Args:
        spent: By name, until now.
        space: The sweep.
        held: The workers.
        started: When the round did, by :func:`time.monotonic`.
        result: Of the round; None where it diverged.
    """
    seconds = time.monotonic() - started
    more = {SECONDS: seconds, CORE_SECONDS: seconds * held.num_workers * held.cpus_per_worker}
    if held.gpus_per_worker:
        more[GPU_SECONDS] = seconds * held.num_workers * held.gpus_per_worker
    if result is not None:
        more[TRAINING_SECONDS] = result.report.duration_s
        more[SCORING_SECONDS] = result.evaluation.seconds if result.evaluation else 0.0
    counted = task_of(space.fixed).COUNTED + STEPS
    if result is not None and counted in result.report.counts:
        more[counted] = result.report.counts[counted]
    return {**spent, **{name: spent.get(name, 0.0) + value for name, value in more.items()}}


def run_name(space: str, trial_id: str, params: Mapping[str, Value]) -> str:
    """Name a trial's run by sweep, trial and values (``wgan-gp 6ec5d281: n_critic 1, generator_lr 0.003``)."""
    values = [
        f"{path.rpartition('.')[2]} {f'{value:.3g}' if isinstance(value, float) else value}"
        for path, value in params.items()
    ]
    return f"{space} {trial_id}: {', '.join(values)}"


def _prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in values.items()}
