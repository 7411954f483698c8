"""Who computes the rounds of an experiment: :func:`open_experiment` starts it, and ends it with its block."""

from contextlib import AbstractContextManager

from fedray.config import ExperimentConfig
from fedray.experiment.engines.base import RoundResult, Run
from fedray.experiment.engines.workers import ExperimentRun, on_workers, start_workers
from fedray.experiment.prepare import Prepared
from fedray.federation import Account
from fedray.results.start import Start
from fedray.simulation import WorkerPool, WorkerResources

__all__ = ["ExperimentRun", "RoundResult", "Run", "open_experiment", "start_workers"]


def open_experiment(
    config: ExperimentConfig,
    resources: WorkerResources,
    prepared: Prepared,
    account: Account | None = None,
    pool: WorkerPool | None = None,
    start: Start | None = None,
) -> AbstractContextManager[Run]:
    """Open an experiment that was checked; it stands before round 1.

    Args:
        config: With all that was unset filled in.
        resources: How many workers, and what each of them takes.
        prepared: What judges, for them (see :func:`fedray.experiment.prepare.prepare_judge`).
        account: Of what it releases under differential privacy; unset: it begins here, and ends with the process.
        pool: Workers that are up already and stay: 'auto' means them then, and 'ray-train' starts its own beside them.
        start: What ``starts_from`` names, where it is open already; unset: it is opened here.

    Raises:
        ConfigError: The engine cannot run it on so many workers.
        StartError: What it starts from does not fit.
    """
    if config.engine == "ray-train" and (pool is None or config.resources.engine == "ray-train"):
        from fedray.experiment.engines.ray_train import on_ray_train  # here: Ray Train costs a trial most of a second

        return on_ray_train(config, resources, prepared, start)
    return on_workers(config, resources, prepared, account, pool, start)
