"""Where the steps of a study run: lanes, each a driver with workers of its own that stay from step to step.

Tune's trials do not depend on each other, so a study is no sweep: steps are handed to whichever lane is free once what
they need is there.
"""

import itertools
from collections.abc import Callable
from typing import Any, Protocol

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from fedray.errors import UserError
from fedray.simulation import WorkerResources
from fedray.studies.performing import Outcome, Performer
from fedray.studies.steps import Step

MakePerformer = Callable[[], Performer]

_TRIES = 3  # a lost node takes its lane along


class Lanes(Protocol):
    """Where steps run."""

    def free(self) -> bool:
        """Say whether a step can be started now."""
        ...

    def start(self, step: Step) -> None:
        """Start a step in a free lane."""
        ...

    def wait(self) -> tuple[Step, Outcome]:
        """Wait for a step that was started to end, well or not."""
        ...

    def close(self) -> None:
        """End all lanes."""
        ...


class OneLane:
    """One step at a time, driven by this process."""

    def __init__(self, performer: Performer) -> None:
        """Take what does the steps."""
        self._performer = performer
        self._done: list[tuple[Step, Outcome]] = []

    def free(self) -> bool:
        """Say whether none has ended unnoticed."""
        return not self._done

    def start(self, step: Step) -> None:
        """Do a step."""
        self._done.append((step, attempted(self._performer, step)))

    def wait(self) -> tuple[Step, Outcome]:
        """Return the step that has ended."""
        return self._done.pop()

    def close(self) -> None:
        """End the workers."""
        self._performer.close()


class RayLanes:
    """Lanes on a Ray cluster, each reserved as a whole: its workers start together, or it waits."""

    def __init__(self, num_lanes: int, resources: WorkerResources, make_performer: MakePerformer) -> None:
        """Start no lane before it is needed.

        Args:
            num_lanes: At a time.
            resources: Workers of a lane.
            make_performer: Runs in the lane's own process.
        """
        self._num_lanes, self._resources, self._make_performer = num_lanes, resources, make_performer
        self._idle: list[tuple[Any, PlacementGroup]] = []
        self._running: dict[Any, tuple[Step, Any, PlacementGroup]] = {}
        self._tries: dict[str, int] = {}

    def free(self) -> bool:
        """Say whether fewer steps run than there may be lanes."""
        return len(self._running) < self._num_lanes

    def start(self, step: Step) -> None:
        """Start a step in an idle lane, or in a new one."""
        self._tries[step.fingerprint] = self._tries.get(step.fingerprint, 0) + 1
        lane, group = self._idle.pop() if self._idle else self._new_lane()
        self._running[lane.perform.remote(step)] = (step, lane, group)

    def wait(self) -> tuple[Step, Outcome]:
        """Wait for a step; one whose lane died is started again in a new one, a few times."""
        while True:
            (done, *_), _ = ray.wait(list(self._running), num_returns=1)
            step, lane, group = self._running.pop(done)
            try:
                outcome: Outcome = ray.get(done)
            except RayActorError as error:
                remove_placement_group(group)
                if self._tries[step.fingerprint] < _TRIES:
                    self.start(step)
                    continue
                return step, Outcome({}, {}, failed=f"its process died {_TRIES} times: {error}".splitlines()[0])
            self._idle.append((lane, group))
            return step, outcome

    def close(self) -> None:
        """Kill all lanes, whatever they do."""
        lanes = itertools.chain(self._idle, ((lane, group) for _, lane, group in self._running.values()))
        for lane, group in lanes:
            ray.kill(lane)
            remove_placement_group(group)
        self._idle, self._running = [], {}

    def _new_lane(self) -> tuple[Any, PlacementGroup]:
        each = {"CPU": self._resources.cpus_per_worker, "GPU": self._resources.gpus_per_worker}
        bundle = {name: amount for name, amount in each.items() if amount}
        group = placement_group([dict(bundle) for _ in range(self._resources.num_workers)])
        strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
        # The driver dispatches and averages while the workers rest, so it takes no core.
        lane = ray.remote(num_cpus=0, scheduling_strategy=strategy)(_Lane).remote(self._make_performer)
        return lane, group


class _Lane:
    """The process of a lane."""

    def __init__(self, make_performer: MakePerformer) -> None:
        self._performer = make_performer()

    def perform(self, step: Step) -> Outcome:
        return attempted(self._performer, step)


def attempted(performer: Performer, step: Step) -> Outcome:
    """Do a step; what fails becomes an outcome that says why, so that the other cells go on."""
    try:
        return performer.perform(step)
    except Exception as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        kind = "" if isinstance(cause, UserError) else f"{type(cause).__name__}: "
        return Outcome({}, {}, failed=kind + " ".join(str(cause).split()))
