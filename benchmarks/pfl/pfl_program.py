"""The task on pfl, in pfl's environment. ``python -m benchmarks.pfl`` starts it.

Its arguments are PROCESSES ROUNDS SECONDS_FILE WEIGHTS_FILE. For several processes on one machine it runs under
torchrun, which pfl's PyTorch code looks for.
"""

# mypy: disable-error-code="import-not-found, misc"
# (pfl is not in the environment that is checked)

import json
import sys
import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
from pfl.internal.ops import pytorch_ops
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor

from benchmarks.pfl.task import BATCH_SIZE, LEARNING_RATE, NUM_CLIENTS, Network, client_data, seed_network


class EvaluableNetwork(Network):
    """The network with the method that pfl evaluates with."""

    @torch.no_grad()
    def metrics(self, images: Tensor, labels: Tensor) -> dict[str, Weighted]:
        """Return the sum of the losses and the number of images."""
        return {"loss": Weighted(len(images) * float(self.loss(images, labels)), len(images))}


class Stopwatch(TrainingProcessCallback):
    """Takes a time stamp before the first round and after each."""

    def __init__(self) -> None:
        """Start with none."""
        self.stamps: list[float] = []

    def on_train_begin(self, *, model: PyTorchModel) -> Metrics:
        """Take the first."""
        self.stamps.append(time.perf_counter())
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Take one, and do not stop."""
        self.stamps.append(time.perf_counter())
        return False, Metrics()


def main() -> None:
    """Run, and write the seconds of each round as JSON and the final weights as a state dict."""
    num_processes, num_rounds = int(sys.argv[1]), int(sys.argv[2])
    seconds_file, weights_file = sys.argv[3:]
    if (found := pytorch_ops.distributed.world_size) != num_processes:
        raise RuntimeError(f"pfl was to share the clients out among {num_processes} process(es), but sees {found}")
    seed_network()
    network = EvaluableNetwork()
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), lr=1.0))
    clients = FederatedDataset(_dataset, get_user_sampler("minimize_reuse", range(NUM_CLIENTS)))
    stopwatch = Stopwatch()
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=num_rounds,
            evaluation_frequency=num_rounds,  # it evaluates in the first round, which is not counted
            train_cohort_size=NUM_CLIENTS,
            val_cohort_size=0,
        ),
        SimulatedBackend(training_data=clients, val_data=clients),
        model,
        NNTrainHyperParams(local_num_epochs=1, local_learning_rate=LEARNING_RATE, local_batch_size=BATCH_SIZE),
        NNEvalHyperParams(local_batch_size=BATCH_SIZE),
        callbacks=[stopwatch],
    )
    if pytorch_ops.distributed.global_rank == 0:
        seconds = [after - before for before, after in pairwise(stopwatch.stamps)]
        Path(seconds_file).write_text(json.dumps(seconds))
        torch.save(network.state_dict(), weights_file)


@cache
def _dataset(client: int) -> PyTorchTensorDataset:
    return PyTorchTensorDataset(client_data(client), user_id=str(client))


if __name__ == "__main__":
    main()
