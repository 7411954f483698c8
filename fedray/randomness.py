"""Named random streams: every draw has an address, no draw is global.

A stream is identified by the experiment's seed and a path of names, for example
``stream(seed, "client", round_index, client_id)``. The same path gives the same numbers on any machine, in any process
and for any number of workers.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *path: str | int) -> int:
    """Hash a seed and a path of names into a new seed.

    Args:
        seed: The experiment's seed.
        path: Names and indices that address the stream, from general to specific.

    Returns:
        An integer in [0, 2**63), which both NumPy and PyTorch accept.
    """
    address = repr((int(seed), *path)).encode()
    return int.from_bytes(hashlib.blake2b(address, digest_size=8).digest(), "big") >> 1


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """Return the NumPy generator at an address. Arguments as in :func:`derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *path))


def torch_stream(seed: int, *path: str | int, device: "str | torch.device" = "cpu") -> "torch.Generator":
    """Return the PyTorch generator at an address, on ``device``. Other arguments as in :func:`derive_seed`."""
    import torch  # here: jobs that only read or write tiles start without it

    return torch.Generator(device=device).manual_seed(derive_seed(seed, *path))
