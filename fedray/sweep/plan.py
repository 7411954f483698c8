"""The resource plan of a sweep: what a trial reserves, and how many trials run at a time."""

from dataclasses import dataclass

from ray import tune

from fedray.cluster import ClusterSize, plan_workers
from fedray.simulation import WorkerResources
from fedray.sweep.space import SearchSpace


@dataclass(frozen=True)
class SweepPlan:
    """What each trial gets and how many fit."""

    workers: WorkerResources
    """Workers of one trial."""
    concurrent_trials: int
    """Trials at a time."""
    cluster: ClusterSize

    def placement(self) -> tune.PlacementGroupFactory:
        """Reserve a trial as a whole: its workers start together or it waits, so trials never block each other.

        The first bundle is the trial's driver. It dispatches and averages while the workers rest, so it takes no core.
        """
        bundle = {"CPU": self.workers.cpus_per_worker, "GPU": self.workers.gpus_per_worker}
        return tune.PlacementGroupFactory([{}, *[dict(bundle) for _ in range(self.workers.num_workers)]])

    @property
    def workers_text(self) -> str:
        """Say what a trial gets."""
        return f"each with {self.workers}"

    def __str__(self) -> str:
        """Say the plan in one line."""
        return f"{self.concurrent_trials} trials at a time, {self.workers_text}, on {self.cluster}"


def plan_sweep(space: SearchSpace, cluster: ClusterSize) -> SweepPlan:
    """Divide the cluster among the trials.

    Raises:
        ResourceError: A trial needs more than the cluster can ever have.
    """
    wanted = min(space.num_trials, space.max_concurrent)
    workers = plan_workers(space.fixed, cluster, num_experiments=wanted)
    fit = cluster.slots(workers.cpus_per_worker, workers.gpus_per_worker) // workers.num_workers
    return SweepPlan(workers, min(wanted, fit), cluster)
