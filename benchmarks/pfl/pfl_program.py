"""The task on pfl, in pfl's environment. ``python -m benchmarks.pfl`` starts it.

Its arguments are PROCESSES ROUNDS WEIGHTS_FILE DONE_PIPE TURN_PIPE. For several processes on one machine it runs under
torchrun, which pfl's PyTorch code looks for.
"""

# mypy: disable-error-code="import-not-found, misc"
# (pfl is not in the environment that is checked)

import sys
from functools import cache
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
from torch import Tensor, distributed

from benchmarks.pfl.task import BATCH_SIZE, LEARNING_RATE, NUM_CLIENTS, Network, client_data, seed_network
from benchmarks.pfl.turns import Player


class EvaluableNetwork(Network):
    """The network with the method that pfl evaluates with."""

    @torch.no_grad()
    def metrics(self, images: Tensor, labels: Tensor) -> dict[str, Weighted]:
        """Return the sum of the losses and the number of images."""
        return {"loss": Weighted(len(images) * float(self.loss(images, labels)), len(images))}


class Turns(TrainingProcessCallback):
    """Has all processes wait until it is our turn, before the first round and after each."""

    def __init__(self, player: Player | None) -> None:
        """Take turns as this player, which the first process alone has."""
        self._player = player

    def on_train_begin(self, *, model: PyTorchModel) -> Metrics:
        """Wait."""
        self._next()
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Wait, and do not end the training."""
        self._next()
        return False, Metrics()

    def _next(self) -> None:
        if self._player is not None:
            self._player.finish_round()
            self._player.wait_for_turn()
        if distributed.is_initialized():
            distributed.barrier()
        if self._player is not None:
            self._player.start_round()


def main() -> None:
    """Run, a round each time it is our turn, and write the final weights as a state dict."""
    num_processes, num_rounds, weights_file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if (found := pytorch_ops.distributed.world_size) != num_processes:
        raise RuntimeError(f"pfl was to share the clients out among {num_processes} process(es), but sees {found}")
    first = pytorch_ops.distributed.global_rank == 0
    seed_network()
    network = EvaluableNetwork()
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), lr=1.0))
    clients = FederatedDataset(_dataset, get_user_sampler("minimize_reuse", range(NUM_CLIENTS)))
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
        callbacks=[Turns(Player(*map(Path, sys.argv[4:])) if first else None)],
    )
    if first:
        torch.save(network.state_dict(), weights_file)


@cache
def _dataset(client: int) -> PyTorchTensorDataset:
    return PyTorchTensorDataset(client_data(client), user_id=str(client))


if __name__ == "__main__":
    main()
