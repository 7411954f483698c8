"""Ray Train's one worker in a thread of this process: the processes that it starts take a quarter of a minute."""

import queue
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle

from fedray.experiment.engines import ray_train


def stand_in_for_ray_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one worker in a thread; what passes between it and its driver is pickled, as between processes."""
    alone = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    stand_ins = {"TorchTrainer": _Trainer, "Queue": _Rounds, "Empty": queue.Empty, "get_context": lambda: alone}
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(ray_train, name, stand_in)


class _Trainer:
    def __init__(self, loop: Any, train_loop_config: dict[str, Any], scaling_config: Any, run_config: Any) -> None:
        assert scaling_config.num_workers == 1
        rounds = train_loop_config["rounds"]
        self.fit = partial(loop, _copied({**train_loop_config, "rounds": None}) | {"rounds": rounds})


class _Rounds(queue.Queue[Any]):
    def __init__(self, actor_options: dict[str, Any]) -> None:
        super().__init__()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(_copied(item), block, timeout)

    def shutdown(self, force: bool) -> None:
        pass


def _copied(value: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(value))
