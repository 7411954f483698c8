"""Trials under Ray Tune: started, or put back where they were; a search with its whole study comes out."""

import glob
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray import tune
from ray.train._internal.storage import StorageContext
from ray.tune import Experiment

from fedray.results import Place
from fedray.storage import SharedFolder, digest, private_folder, scratch_folder
from fedray.sweep.checkpoints import DropCheckpoints
from fedray.sweep.plan import SweepPlan
from fedray.sweep.progress import SweepProgress
from fedray.sweep.searcher import OptunaSearcher, SweepSearch
from fedray.sweep.space import SearchSpace
from fedray.sweep.state import put_state_back
from fedray.sweep.stopping import RungScheduler

TUNE_ENVIRONMENT = {
    # A snapshot after every event: a killed driver loses no trial that had ended. Rounds take seconds, it takes ms.
    "TUNE_GLOBAL_CHECKPOINT_S": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # A round without evaluation has no score, and a diverged trial never will: both are told, neither is an error.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Results go to MLflow and Parquet, progress is SweepProgress's.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ctrl-C is ours: Tune would end the sweep as if it were complete.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
"""Settings that Tune takes from the environment alone; what the user has set stays."""

Search = tuple[OptunaSearcher, tune.ResultGrid]


class SweepStorage(StorageContext):
    """Tune's idea of where its files are, with a staging folder of the sweep's own.

    Tune 2.55 stages what it writes in ``artifacts/SECOND/NAME`` of the Ray session: two sweeps that start in one second
    on one Ray would copy each other's state into their results.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        """Name it by where the sweep's state is kept, in which no other sweep runs."""
        super().__init__(*args, **more)
        self._timestamp += f"-{digest(self.experiment_fs_path.encode())[:12]}"


Experiment._storage_context_cls = SweepStorage  # Tune's own hook, and the only one


def run_trials(
    trainable: Any, space: SearchSpace, plan: SweepPlan, out: Place, known: Callable[[], Iterable[FrozenTrial]] = tuple
) -> Search:
    """Run the trials that are left; returns the searcher with the whole study, and Tune's results.

    Args:
        trainable: A ``tune.Trainable`` with the resources that it needs.
        space: What is searched.
        plan: How many trials run at a time.
        out: Of the sweep.
        known: Returns trials of another sweep that this one starts from; asked where it has no state to go on with.
    """
    for name, value in (TUNE_ENVIRONMENT | {"TUNE_MAX_PENDING_TRIALS_PG": str(plan.concurrent_trials)}).items():
        os.environ.setdefault(name, value)
    # It looks for the result files of the loggers that are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    SweepSearch.keep_in = Path(out.state) if out.shared is None else None
    if out.shared is None:
        private_folder(Path(out.state))  # before Tune makes it, for everybody
    goes_on = put_state_back(out)
    search = SweepSearch(space, plan.concurrent_trials)
    if not goes_on:
        search.optuna.learn(known())
    tuner = _new_tuner(trainable, space, search, out.state)  # which writes the pickle that restore reads: ours
    if goes_on:
        tuner = tune.Tuner.restore(out.state, trainable, resume_unfinished=True)
    grid = tuner.fit()
    return _saved_searcher(space, out), grid


def _saved_searcher(space: SearchSpace, out: Place) -> OptunaSearcher:
    """Read the searcher as Tune saved it last: after the last trial."""
    searcher = OptunaSearcher(space)
    if out.shared is None:
        searcher.restore_from_dir(glob.escape(out.state))  # Ray reads the folder's name as a pattern
        return searcher
    state = SharedFolder(out.state)
    with scratch_folder() as folder:
        state.download([name for name in state.names() if name.startswith("searcher-state")], folder)
        searcher.restore_from_dir(str(folder))
    return searcher


def _new_tuner(trainable: Any, space: SearchSpace, search: SweepSearch, state: str) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=RungScheduler(search.optuna),  # Tune pickles both together: they stay each other's
            num_samples=space.num_trials,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=state.rpartition("/")[2],
            storage_path=state.rpartition("/")[0],
            callbacks=[SweepProgress(space), DropCheckpoints()],
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=space.fixed.federation.checkpoint_every, checkpoint_at_end=True, num_to_keep=1
            ),
            failure_config=tune.FailureConfig(max_failures=space.max_failures),
            verbose=0,
        ),
    )


def _folder_name(trial: Any) -> str:
    return str(trial.trial_id)
