"""What Ray has and what of it is free, in a placement group if there is one."""

from collections.abc import Mapping

import ray
from ray.util.placement_group import PlacementGroup


def count_fitting(cpus: float, gpus: float, group: PlacementGroup | None) -> int:
    """Return how many workers of this size fit into what is free now: in a placement group, or (None) on the nodes."""
    return sum(_fit(place, cpus, gpus) for place in _free_places(group))


def describe_capacity(num_workers: int, cpus: float, gpus: float, group: PlacementGroup | None) -> str:
    """Say what was asked for, what there is and what to do, for an error message."""
    asked = f"asked for {num_workers} worker(s) of {cpus:g} CPU and {gpus:g} GPU each"
    total = ray.cluster_resources()
    has = ", ".join(f"{total.get(kind, 0.0):g} {kind}" for kind in ("CPU", "GPU"))
    free = ", ".join(
        f"{sum(place.get(kind, 0.0) for place in _free_places(group)):g} {kind}" for kind in ("CPU", "GPU")
    )
    where = "in the current placement group" if group is not None else "in the cluster"
    remedy = "lower cpus_per_worker or gpus_per_worker, free resources or add nodes"
    return f"{asked}; the cluster has {has}, free {where} {free}; {remedy}"


def _free_places(group: PlacementGroup | None) -> list[Mapping[str, float]]:
    """The free resources of each bundle of the placement group, else of each node."""
    if group is None:
        per_node: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
        return list(per_node.values())
    free = ray.available_resources()
    suffix = group.id.hex()
    return [
        {kind: free.get(f"{kind}_group_{index}_{suffix}", 0.0) for kind in ("CPU", "GPU")}
        for index in range(group.bundle_count)
    ]


def _fit(place: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many workers fit into one place. Those that need nothing count as one per CPU."""
    if cpus <= 0 and gpus <= 0:
        return int(place.get("CPU", 0.0))
    needs = ((place.get("CPU", 0.0), cpus), (place.get("GPU", 0.0), gpus))
    return min(int(has / need + 1e-9) for has, need in needs if need > 0)
