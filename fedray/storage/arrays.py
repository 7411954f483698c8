"""Arrays as safetensors takes them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def in_order(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Lay arrays out in memory as they read, row by row, so that they can be written as safetensors.

    ``safetensors.numpy`` writes an array's memory as it lies: a transposed, sliced or Fortran-ordered one comes back
    with other numbers in other places, without a word (findings/safetensors_strided.sh).
    """
    # not ascontiguousarray, which makes [1] of []
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}
