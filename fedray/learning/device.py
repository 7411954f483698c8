"""Where a process computes."""

import torch

from fedray.config import ResourcesConfig


def training_device(resources: ResourcesConfig) -> str:
    """Device this process trains on: ``cuda`` if it was given a GPU and the configuration allows it."""
    if resources.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return resources.device


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has units for bfloat16, so that it is several times as fast as float32 there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))
