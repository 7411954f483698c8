"""What generated tiles differ in: every hand-made statistic of both sets, the most different first."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.reference import compared_indices, floor_indices
from fedray.evaluation.texture import texture


def differences(
    generated: NDArray[np.uint8], store: TileStore, config: EvaluationConfig, seed: int = 0
) -> pd.DataFrame:
    """Compare the statistics of generated tiles with those of the real ones, one statistic at a time.

    The distance is Wasserstein's of first order between the statistic's values over both sets of tiles: how far they
    have to be moved, on average, to become the others. Of equal shapes it is the shift; where means are equal, it says
    that one set varies less, as a collapsed one does.

    Args:
        generated: uint8 [n, H, W, C].
        store: The real tiles.
        config: Which of them are compared.
        seed: Of the draw of real tiles, as in :meth:`fedray.evaluation.Evaluator.prepare`.

    Returns:
        A row a statistic (:func:`fedray.evaluation.texture.texture` says what each is), most distant first: statistic;
        shift of the mean, and distance, in standard deviations of the real tiles; floor, the distance of other real
        tiles, NaN where the store has too few. A statistic that is the same in all real tiles is measured as it is.
    """
    from scipy.stats import wasserstein_distance  # here: most processes compare nothing

    real, fake = texture(store.tiles(compared_indices(store, config, seed))), texture(generated)
    chosen = floor_indices(store, config, seed)
    other = None if chosen is None else texture(store.tiles(chosen))
    rows = []
    for name, values in real.items():
        scale = float(values.std(dtype=np.float64)) or 1.0
        shift = (fake[name].mean(dtype=np.float64) - values.mean(dtype=np.float64)) / scale
        floor = np.nan if other is None else wasserstein_distance(values, other[name]) / scale
        rows.append((name, shift, wasserstein_distance(values, fake[name]) / scale, floor))
    table = pd.DataFrame(rows, columns=["statistic", "shift", "distance", "floor"])
    return table.sort_values("distance", ascending=False, ignore_index=True)


def difference_lines(table: pd.DataFrame, most: int = 5) -> list[str]:
    """Say in words in what tiles differ most, a heading and a line each; none of what real tiles differ in as much.

    Args:
        table: Of :func:`differences`.
        most: How many at most.
    """
    notable = table[~(table["distance"] <= table["floor"])].head(most)
    if notable.empty:
        return ["No statistic differs more than between real tiles."]
    heading = "What differs most, in standard deviations of the real tiles:"
    return [heading, *(f"  {_line(*row)}" for row in notable.itertuples(index=False))]


def _line(statistic: str, shift: float, distance: float, floor: float) -> str:
    """The shift alone where it is all of the distance."""
    how = f"{abs(shift):.2g} {'higher' if shift > 0 else 'lower'} on average"
    if distance - abs(shift) > 0.1 * distance:
        how = f"{how}, and spread otherwise"
    beside = "" if np.isnan(floor) else f" (other real tiles {floor:.2g})"
    return f"{statistic}: {distance:.2g} apart{beside}; {how}"
