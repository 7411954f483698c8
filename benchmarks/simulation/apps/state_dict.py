"""A client as Flower's quickstarts write it: a ``state_dict`` comes and goes, of a layer with a thousand parameters."""

import numpy as np
import torch
from flwr.app import RecordDict

from benchmarks.simulation.federation import Metrics, Weights, make_state_dict_app

__all__ = ["client_app", "initial_weights", "num_examples", "step", "update"]

_INPUTS, _OUTPUTS = 24, 40


def initial_weights() -> Weights:
    """Return {"weight": float32 zeros of [40, 24], "bias": of [40]}."""
    return {"weight": np.zeros((_OUTPUTS, _INPUTS), np.float32), "bias": np.zeros(_OUTPUTS, np.float32)}


def step(state_dict: dict[str, torch.Tensor], client: int) -> dict[str, torch.Tensor]:
    """Add a small number, another one for every client: a missing reply shows in the mean."""
    return {name: tensor + 1e-3 * (1 + client % 7) for name, tensor in state_dict.items()}


def num_examples(client: int) -> int:
    """Return a client's weight in the mean."""
    return 1 + client % 3


def update(weights: Weights, client: int, state: RecordDict) -> tuple[Weights, Metrics]:
    """Do the same without Flower."""
    state_dict = {name: torch.from_numpy(array) for name, array in weights.items()}
    stepped = {name: tensor.numpy() for name, tensor in step(state_dict, client).items()}
    return stepped, {"num-examples": num_examples(client)}


client_app = make_state_dict_app(step, num_examples)
