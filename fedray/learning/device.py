"""Where a process computes."""

import torch

from fedray.config import ResourcesConfig


def training_device(resources: ResourcesConfig) -> str:
    """Device this process trains on: ``cuda`` if it was given a GPU and the configuration allows it."""
    if resources.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return resources.device
