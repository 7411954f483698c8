import pytest
import ray

from fedray.cluster import ClusterSize, NodeSize, ResourceError, connect, plan_workers

LAPTOP = ClusterSize((NodeSize(8),))
GPUS = ClusterSize((NodeSize(16, 2),) * 4)


@pytest.mark.parametrize(
    ("cluster", "changes", "experiments", "expected"),
    [
        (LAPTOP, {"federation__num_clients": 4}, 1, (4, 1.0, 0.0)),  # never more workers than clients
        (LAPTOP, {"federation__num_clients": 20}, 1, (8, 1.0, 0.0)),
        (LAPTOP, {"federation__num_clients": 20}, 4, (2, 1.0, 0.0)),  # a share for each experiment
        (LAPTOP, {"federation__num_clients": 20}, 50, (1, 1.0, 0.0)),
        (LAPTOP, {"federation__num_clients": 20, "federation__client_fraction": 0.1}, 1, (2, 1.0, 0.0)),
        (LAPTOP, {"federation__mode": "centralised"}, 1, (1, 1.0, 0.0)),
        (GPUS, {"resources__device": "auto", "federation__num_clients": 100}, 1, (16, 1.0, 0.5)),
        (GPUS, {"resources__device": "auto", "resources__workers_per_gpu": 4, "federation__num_clients": 100}, 2,
         (16, 1.0, 0.25)),
        (GPUS, {"resources__device": "cpu", "federation__num_clients": 100}, 1, (64, 1.0, 0.0)),
        # A worker is on one node: 16 CPUs hold one of 9, whatever the 64 of the cluster would.
        (GPUS, {"resources__device": "cpu", "resources__cpus_per_worker": 9.0, "federation__num_clients": 100}, 1,
         (4, 9.0, 0.0)),
    ],
)  # fmt: skip
def test_workers_are_planned_from_the_cluster(small_config, cluster, changes, experiments, expected):
    plan = plan_workers(small_config(**changes), cluster, experiments)
    assert (plan.num_workers, plan.cpus_per_worker, plan.gpus_per_worker) == expected


@pytest.mark.parametrize(
    ("cluster", "changes", "expected"),
    [
        (LAPTOP, {"resources__num_workers": 9}, "9 x .1 CPUs, 0 GPUs.*never run more than 8 such workers"),
        (LAPTOP, {"resources__device": "cuda"}, "never run more than 0 such workers.*0 GPUs.*resources.device to cpu"),
        # 64 CPUs in all, but no node has 17.
        (GPUS, {"resources__device": "cpu", "resources__cpus_per_worker": 17.0}, "largest node: 16 CPUs"),
    ],
)
def test_what_never_fits_is_refused_with_both_numbers(small_config, cluster, changes, expected):
    with pytest.raises(ResourceError, match=expected):
        plan_workers(small_config(**changes), cluster)


def test_a_job_servers_address_is_no_ray_to_join(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(
        ResourceError, match=r"http://127.0.0.1:8265, a job server's .* ray job submit .* unset RAY_ADDRESS"
    ):
        connect()
