"""What generated tiles differ in: every hand-made statistic of both sets, the most different first."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.transport import scales, standardised_distances
from fedray.evaluation.reference import compared_indices, floor_indices
from fedray.evaluation.texture import Columns, as_features, texture


def differences(
    generated: NDArray[np.uint8], store: TileStore, config: EvaluationConfig, seed: int = 0
) -> pd.DataFrame:
    """Compare the statistics of generated tiles with those of the real ones, one statistic at a time.

    The distance is that of :func:`fedray.evaluation.metrics.transport.standardised_distances`, of which the score
    ``distance/texture/<n>`` is made.

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
    real, fake = texture(store.tiles(compared_indices(store, config, seed))), texture(generated)
    chosen = floor_indices(store, config, seed)
    of_real, of_fake = _sample(real), _sample(fake)
    floor = None if chosen is None else standardised_distances(of_real, _sample(texture(store.tiles(chosen))))
    table = pd.DataFrame(
        {
            "statistic": list(real),
            "shift": (of_fake.mean - of_real.mean) / scales(of_real),
            "distance": standardised_distances(of_real, of_fake),
            "floor": np.nan if floor is None else floor,
        }
    )
    return table.sort_values("distance", ascending=False, ignore_index=True)


def _sample(statistics: Columns) -> Sample:
    features = as_features(statistics)
    return Sample(features, np.zeros(len(features), np.int64))


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
