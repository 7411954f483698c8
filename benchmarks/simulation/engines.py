"""The three ways to run a case: FedRay, Flower's own engine, and a loop without any engine."""

import random
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import ray
from flwr.app import Context, RecordDict
from flwr.serverapp import ServerApp

from benchmarks.simulation.cases import NUM_WORKERS, OBJECT_STORE_BYTES, Case
from benchmarks.simulation.federation import TIMED_UPDATE_KEY, Recorder, Weights, make_server_app, roll_call
from benchmarks.simulation.results import FEDRAY, FLOOR, STOCK

_RAY_ARGUMENTS = {
    "address": "local",  # not one that happens to run here
    "num_cpus": NUM_WORKERS,
    "object_store_memory": OBJECT_STORE_BYTES,
    "include_dashboard": False,
    "logging_level": "WARNING",
}
_BACKEND: dict[str, dict[str, Any]] = {
    "init_args": _RAY_ARGUMENTS,
    "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
}

Engine = Callable[[Case, Callable[[], Recorder]], list[Recorder]]


def on_fedray(case: Case, new_recorder: Callable[[], Recorder]) -> list[Recorder]:
    """Run a case's trials one after the other on one pool of workers. Returns a recorder for each trial."""
    from fedray.simulation import RayGrid, WorkerPool, WorkerResources

    app = case.load_app()
    recorders = []
    ray.init(**_RAY_ARGUMENTS)
    with WorkerPool(WorkerResources(NUM_WORKERS, cpus_per_worker=1)) as pool:
        for _ in range(case.trials):
            recorders.append(new_recorder())
            grid = RayGrid(app.client_app, case.num_clients, pool)
            try:
                context = Context(grid.run.run_id, 0, {}, RecordDict(), {})
                _server_app(app, case, case.num_rounds, recorders[-1])(grid=grid, context=context)
            finally:
                grid.close()
    ray.shutdown()
    return recorders


def on_stock(case: Case, new_recorder: Callable[[], Recorder]) -> list[Recorder]:
    """Run a case's trials one after the other on Flower's engine. Returns a recorder for each trial."""
    from flwr.simulation import run_simulation

    app = case.load_app()
    recorders = []
    for _ in range(case.trials):
        recorders.append(new_recorder())
        server_app = _server_app(app, case, case.rounds_on(STOCK), recorders[-1])
        run_simulation(server_app, app.client_app, case.num_clients, backend_config=_BACKEND)
    return recorders


def on_floor(case: Case, new_recorder: Callable[[], Recorder]) -> list[Recorder]:
    """Run a case's trials in this process: one client after another, and the same weighted mean."""
    app = case.load_app()
    recorders = []
    for _ in range(case.trials):
        recorders.append(new_recorder())
        _loop(app, case, recorders[-1])
    return recorders


ENGINE_FUNCTIONS: Mapping[str, Engine] = {FEDRAY: on_fedray, STOCK: on_stock, FLOOR: on_floor}


def _server_app(app: ModuleType, case: Case, num_rounds: int, recorder: Recorder) -> ServerApp:
    return make_server_app(app.initial_weights, case.num_clients, case.clients_per_round, num_rounds, recorder)


def _loop(app: ModuleType, case: Case, recorder: Recorder) -> None:
    draw = random.Random(0)
    states: dict[int, RecordDict] = {}
    weights: Weights = app.initial_weights()
    recorder.stamp(0, dict)
    for server_round in range(1, case.num_rounds + 1):
        total: Weights = {}
        num_examples, seconds, called = 0.0, 0.0, 0.0
        for client in draw.sample(range(case.num_clients), case.clients_per_round):
            updated, metrics = app.update(weights, client, states.setdefault(client, RecordDict()))
            _add(total, updated, metrics["num-examples"])
            num_examples += metrics["num-examples"]
            called += roll_call(client) * metrics["num-examples"]
            seconds += metrics.get(TIMED_UPDATE_KEY, 0.0) * metrics["num-examples"]
        weights = {name: array / num_examples for name, array in total.items()}
        recorder.stamp(server_round, weights.copy)
        recorder.roll_calls.append(called / num_examples)
        recorder.seconds_per_example[server_round] = seconds / num_examples


def _add(total: Weights, weights: Weights, factor: float) -> None:
    for name, array in weights.items():
        if name in total:
            total[name] += array * factor
        else:
            total[name] = array * factor
