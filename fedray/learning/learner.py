"""What a federation needs of networks that learn, whatever they are for."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Arrays = dict[str, NDArray[np.generic]]
"""Arrays by name."""


class Learner(Protocol):
    """Networks whose arrays have names."""

    def arrays(self, names: Iterable[str]) -> Arrays:
        """Return copies of some arrays, by their names or those of their parts."""
        ...

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Copy arrays in, any of them; the others stay as they are."""
        ...

    def trained(self, names: Iterable[str]) -> list[str]:
        """Return which arrays of some parts optimisers train."""
        ...

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks that are trained, by their names in losses, steps and arrays."""
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return all that has arrays, by the beginning of their names: those networks, and averages of them."""
        ...

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each of them."""
        ...


def copies_of(parts: Mapping[str, nn.Module], names: Iterable[str]) -> Arrays:
    """Return copies of parameters and buffers, keyed ``part.name``.

    Args:
        parts: Networks by their names.
        names: Of arrays, or of parts, which stand for all their arrays.
    """
    wanted = set(names)
    return {
        f"{part}.{name}": value.detach().cpu().numpy().copy()
        for part, network in parts.items()
        for name, value in network.state_dict().items()
        if part in wanted or f"{part}.{name}" in wanted
    }


def copy_in(own: Mapping[str, Tensor], arrays: Mapping[str, NDArray[np.generic]], of: str) -> None:
    """Copy arrays into a learner's tensors by their names, all or none.

    Args:
        own: All that there are, on any device.
        arrays: Any of them.
        of: What they belong to, for the message.

    Raises:
        ValueError: There is no tensor of a name, or it has another shape.
    """
    for name, value in arrays.items():
        if name not in own or tuple(own[name].shape) != value.shape:
            have = f"of shape {tuple(own[name].shape)}" if name in own else "not there"
            raise ValueError(
                f"the arrays do not fit {of}: {name} has the shape {value.shape}, but in this configuration it is "
                f"{have}"
            )
    with torch.no_grad():
        for name, value in arrays.items():
            own[name].copy_(torch.from_numpy(np.array(value)))
