"""Are its tiles as different from each other as real ones? Within each label, and by what they reach."""

from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.evaluation.metrics import Sample
from fedray.evaluation.metrics.manifold import NEIGHBOURS, manifold
from fedray.evaluation.metrics.neighbours import all_squared_distances
from fedray.randomness import stream
from fedray.reports.base import Features, Figure, Finding, Judged, Report, percent
from fedray.reports.charts import draw_dots
from fedray.reports.pictures import Pair, draw_pairs

LIMIT = 0.5
"""Share of real tiles' diversity below which a label has collapsed."""
DRAWS = 40
"""Of real tiles, which say what diversity is usual, and how often real tiles would be flagged."""
FEWEST = 4
"""Generated tiles of a label, and pairs of real ones, of fewer of which diversity is not measured."""
_PAIRS = 8


class _Diversity(NamedTuple):
    spread: float
    """Mean distance between two of the tiles."""
    nearest: float
    """Median distance of a tile to its nearest other one."""


class Collapse(Report):
    """Diversity of each label's tiles, in units of as many real training tiles; coverage and recall of held-out ones.

    Two numbers say how different tiles are from each other, both distances in feature space: the mean over all pairs
    (*spread*; small where all tiles are of one kind), and the median to the nearest other tile (*nearest*; small where
    tiles repeat each other). A label of which either is below half of what real tiles have has collapsed.
    """

    title: ClassVar[str] = "Collapse"
    question: ClassVar[str] = "Are its tiles as different from each other as real tiles are?"

    def make(self, judged: Judged) -> Finding:
        """See :class:`fedray.reports.Report`."""
        table = diversity_table(judged)
        if table.empty:
            verdict = (
                f"Whether tiles repeat each other cannot be said: no label has {FEWEST} generated and {2 * FEWEST} "
                "training tiles."
            )
            return Finding(verdict, None, {"labels": pd.DataFrame([{"tiles of a label needed": FEWEST}])})
        collapsed = table[table["flagged"]]
        return Finding(
            verdict=_verdict(table, collapsed),
            alarm=not collapsed.empty,
            tables={"labels": table},
            figures=(_dots(table), _alike(judged)),
        )


def diversity_table(judged: Judged) -> pd.DataFrame:
    """Measure each label of which there are enough tiles.

    Returns:
        A row a label: spread and nearest in units of real tiles, with the range of real ones, coverage and recall with
        those of real tiles, whether it is flagged, and how many draws of real tiles would be.
    """
    labels = range(len(judged.real.store.label_names))
    return pd.DataFrame([_row(judged, label) for label in labels if _num_compared(judged, label)])


def _num_compared(judged: Judged, label: int) -> int:
    """Tiles of a label that are compared, on either side; 0 where there are too few.

    No more than half of the real ones, or all draws of them were alike.
    """
    store, training = judged.real.store, judged.real.some_training
    num = min(int(np.sum(judged.labels == label)), int(np.sum(store.labels[training] == label)) // 2)
    return num if num >= FEWEST else 0


def _row(judged: Judged, label: int) -> dict[str, object]:
    real, num = judged.real, _num_compared(judged, label)
    made = judged.features[judged.labels == label]
    training = _of_label(judged, real.some_training, label)
    rng = stream(judged.seed, "reports", "collapse", label)
    ours, usual = (np.array([_diversity(_some(each, num, rng)) for _ in range(DRAWS)]) for each in (made, training))
    scale = np.maximum(usual.mean(0), np.finfo(np.float64).tiny)  # real tiles that are all alike
    relative, drawn = ours.mean(0) / scale, usual / scale
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return {
        "label": real.store.label_names[label],
        "tiles": num,
        "spread": relative[0],
        "real spread, low": low[0],
        "real spread, high": high[0],
        "nearest": relative[1],
        "real nearest, low": low[1],
        "real nearest, high": high[1],
        **_reached(made, training, _of_label(judged, real.held_out, label), rng),
        "flagged": bool((relative < LIMIT).any()),
        "real draws": DRAWS,
        "real draws flagged": int((drawn < LIMIT).any(1).sum()),
    }


def _of_label(judged: Judged, indices: NDArray[np.int64], label: int) -> Features:
    chosen = judged.real.store.labels[indices] == label
    features: Features = judged.real.features_of(indices)[chosen]
    return features


def _some(features: Features, num: int, rng: np.random.Generator) -> Features:
    return features[rng.choice(len(features), num, replace=False)]


def _diversity(features: Features) -> _Diversity:
    far = _distances(features)
    nearest = np.where(np.eye(len(far), dtype=bool), np.inf, far).min(1)
    return _Diversity(float(far.sum() / (len(far) * (len(far) - 1))), float(np.median(nearest)))


def _distances(features: Features) -> NDArray[np.float64]:
    far = all_squared_distances(features, features)
    np.fill_diagonal(far, 0.0)
    distances: NDArray[np.float64] = np.sqrt(np.maximum(far, 0.0))
    return distances


def _reached(made: Features, training: Features, held_out: Features, rng: np.random.Generator) -> dict[str, float]:
    """Coverage and recall of held-out tiles by generated ones, and by as many training tiles (the floor)."""
    num = min(map(len, (made, training, held_out)))
    if num <= NEIGHBOURS:
        return dict.fromkeys(("coverage", "real coverage", "recall", "real recall"), np.nan)
    sets = [Sample(_some(each, num, rng), np.zeros(num, np.int64)) for each in (held_out, made, training)]
    ours, usual = manifold(sets[0], sets[1], NEIGHBOURS), manifold(sets[0], sets[2], NEIGHBOURS)
    return {
        "coverage": ours.coverage,
        "real coverage": usual.coverage,
        "recall": ours.recall,
        "real recall": usual.recall,
    }


def _verdict(table: pd.DataFrame, collapsed: pd.DataFrame) -> str:
    if not collapsed.empty:
        worst = collapsed[["spread", "nearest"]].min(axis=1)
        told = ", ".join(
            f"{row.label} ({percent(share)})" for row, share in zip(collapsed.itertuples(), worst, strict=True)
        )
        return (
            f"Collapsed: tiles of {len(collapsed)} of {len(table)} labels are less than half as different from each "
            f"other as real ones, {told}."
        )
    least = table[["spread", "nearest"]].min(axis=1)
    alike = table["label"].iloc[int(least.argmin())]
    missing = table["coverage"].sum() / table["real coverage"].sum() if table["real coverage"].sum() > 0 else np.nan
    reach = "" if np.isnan(missing) else f"; they reach {percent(missing)} of the held-out tiles that real ones reach"
    return (
        f"No label has collapsed: tiles of one label are at least {percent(least.min())} as different from each other "
        f"as real ones ({alike}){reach}."
    )


def _dots(table: pd.DataFrame) -> Figure:
    measures = ("spread", "nearest")
    rows = [f"{name}: {measure}" for name in table["label"] for measure in measures]
    ours, low, high = (
        table[[form.format(measure) for measure in measures]].to_numpy(np.float64).ravel()
        for form in ("{}", "real {}, low", "real {}, high")
    )
    flagged, draws = table["real draws flagged"].sum(), table["real draws"].sum()
    return Figure(
        "diversity",
        draw_dots(rows, ours, low, high, LIMIT, "diversity, real training tiles = 1"),
        "How different the tiles of a label are from each other, in units of as many real training tiles: on average "
        "over all pairs (spread), and each from the one most like it (nearest; 0 where tiles are repeated). Green: "
        f"where 95 % of draws of real tiles lie; of {draws} draws, {flagged} would have been flagged.",
        "A dot for the diversity of each label's generated tiles beside the range of real tiles",
        real_tiles=False,
    )


def _alike(judged: Judged) -> Figure:
    """Picture of the tiles of one label that are most alike, each tile once."""
    candidates: list[tuple[float, int, int]] = []
    for label in np.unique(judged.labels).tolist():
        places = np.flatnonzero(judged.labels == label)
        if len(places) < 2:
            continue
        far = _distances(judged.features[places]) + np.where(np.eye(len(places), dtype=bool), np.inf, 0.0)
        candidates += [
            (float(far[row].min()), int(places[row]), int(places[far[row].argmin()])) for row in range(len(places))
        ]
    pairs, shown = list[Pair](), set[int]()
    for distance, one, other in sorted(candidates):
        if not shown & {one, other}:
            name = judged.real.store.label_names[int(judged.labels[one])]
            pairs.append(Pair(judged.tiles[one], judged.tiles[other], f"{name}: {distance:.3g}"))
            shown |= {one, other}
        if len(pairs) == _PAIRS:
            break
    return Figure(
        "most-alike",
        draw_pairs(pairs, "generated", "generated"),
        f"The {len(pairs)} pairs of generated tiles of one label that are most alike, with their distance in the "
        f"features of {judged.real.extractor}. Where tiles are repeated, a pair shows one twice.",
        f"{len(pairs)} pairs of generated tiles that are most alike",
        real_tiles=False,
    )
