"""A drop-in for ``flwr.simulation.run_simulation`` that runs on any Ray, and leaves it running."""

import os
from collections.abc import Mapping
from typing import Any

import ray
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from ray.util.placement_group import get_current_placement_group

from .errors import NoWorkerError
from .grid import RayGrid
from .wire.runs import show_debug_messages
from .workers.local_ray import find_ray, start_local_ray, stop_local_ray
from .workers.pool import WorkerPool, WorkerResources
from .workers.resources import count_fitting, describe_capacity

_SECTIONS = ("init_args", "client_resources", "actor")


def run_simulation(
    server_app: ServerApp,
    client_app: ClientApp,
    num_supernodes: int,
    backend_name: str = "ray",
    backend_config: Mapping[str, Mapping[str, Any]] | None = None,
    enable_tf_gpu_growth: bool = False,
    verbose_logging: bool = False,
) -> None:
    """Run a Flower app. Same parameters as ``flwr.simulation.run_simulation``.

    It uses the Ray that is there (in a placement group: only that), with as many workers as fit into what is free now,
    and more where room comes free, and leaves it running. Where there is none it starts a local one, and shuts that
    down at the end.

    Args:
        server_app: The server's app.
        client_app: The clients' app.
        num_supernodes: Number of clients.
        backend_name: Must be ``"ray"``.
        backend_config: ``client_resources`` (``num_cpus``, 2 by default; ``num_gpus``, 0 by default) of one client at
            work, and ``init_args`` for ``ray.init`` if no Ray is there. ``actor`` may hold ``tensorflow``.
        enable_tf_gpu_growth: Let TensorFlow take GPU memory as it needs it, here and in the workers.
        verbose_logging: Show Flower's debug messages.

    Raises:
        ValueError: An argument is wrong.
        SimulationError: No worker can start, or the apps cannot be run.
    """
    if backend_name != "ray":
        raise ValueError(f"backend_name must be 'ray', but got {backend_name!r}")
    config = _parse(backend_config or {})
    cpus, gpus = _client_size(config["client_resources"])
    if verbose_logging:
        show_debug_messages()
    grow = enable_tf_gpu_growth or bool(config["actor"].get("tensorflow", False))
    if grow:
        _let_gpu_memory_grow()

    owns_ray = not ray.is_initialized()
    if owns_ray:
        _init(**{"include_dashboard": False, "logging_level": "WARNING", **config["init_args"]})
    try:
        resources = WorkerResources(_num_workers(num_supernodes, cpus, gpus, can_grow=not owns_ray), cpus, gpus)
        with WorkerPool(resources, grow_to=num_supernodes, setup=_let_gpu_memory_grow if grow else None) as pool:
            grid = RayGrid(client_app, num_supernodes, pool)
            try:
                server_app(grid=grid, context=Context(grid.run.run_id, 0, {}, RecordDict(), {}))
            finally:
                grid.close()
    finally:
        if owns_ray:
            stop_local_ray()


def _init(**options: Any) -> None:
    """Join the Ray that the arguments or the environment name, else start one here."""
    found = find_ray(options.get("address"))
    if found is None:
        start_local_ray(**options)
    else:
        ray.init(**{**options, "address": found})


def _parse(backend_config: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the sections, with Flower's ``-`` in keys as ``_``."""
    config: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for name, section in backend_config.items():
        if (known := name.replace("-", "_")) not in _SECTIONS:
            raise ValueError(f"backend_config may have {', '.join(_SECTIONS)}, but got {name!r}")
        config[known] = {key.replace("-", "_"): value for key, value in section.items()}
    return config


def _client_size(client_resources: Mapping[str, Any]) -> tuple[float, float]:
    if unknown := sorted(set(client_resources) - {"num_cpus", "num_gpus"}):
        raise ValueError(f"client_resources may have num_cpus and num_gpus, but got {', '.join(unknown)}")
    return float(client_resources.get("num_cpus", 2)), float(client_resources.get("num_gpus", 0))


def _num_workers(num_supernodes: int, cpus: float, gpus: float, *, can_grow: bool) -> int:
    """As many as fit now; one where none does but resources may yet come free or be added."""
    group = get_current_placement_group()
    fitting = count_fitting(cpus, gpus, group)
    if fitting == 0 and not can_grow:
        raise NoWorkerError(f"no worker can start: {describe_capacity(1, cpus, gpus, group)}")
    return max(1, min(num_supernodes, fitting))


def _let_gpu_memory_grow() -> None:
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # TensorFlow reads it when it is imported
