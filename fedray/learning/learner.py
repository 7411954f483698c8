"""What a federation needs of networks that learn, whatever they are for."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

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
