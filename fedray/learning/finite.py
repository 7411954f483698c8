"""Whether training is still training: weights and moments are looked at wherever they change hands."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedray.learning.errors import DivergedError


def check_finite(arrays: Mapping[str, NDArray[np.generic]], where: str = "") -> None:
    """Refuse arrays that hold a number that is not finite.

    A step that explodes shows in the loss of the step after it. The last one of a pass has none: only the weights tell.

    Args:
        arrays: By name, of any shape and dtype; integers are finite.
        where: Begins the message, such as ``round 3, client 2``.

    Raises:
        DivergedError: Naming the first such array and their number.
    """
    bad = [name for name, value in arrays.items() if value.dtype.kind in "fc" and not np.isfinite(value).all()]
    if not bad:
        return
    which = f"{bad[0]} is" if len(bad) == 1 else f"{bad[0]} and {len(bad) - 1} more of {len(arrays)} arrays are"
    raise DivergedError(f"{f'{where}: ' if where else ''}{which} not finite; smaller learning rates may help")
