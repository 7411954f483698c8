"""The other end of the scale: what plainly destroyed real tiles score, beside which a generator's score has a place.

The floor says what real tiles score, a ceiling what something scores that nobody would take for one. Two of the sets
are those of the self-test, tile by tile; a plain grey is none of its, as nobody asks whether a score sees it.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation import reference
from fedray.evaluation.cache import Stored, cache_path, load_or_build
from fedray.evaluation.destruction import Labels, Tiles, destroy, why_skipped
from fedray.evaluation.evaluator import Evaluator
from fedray.evaluation.metrics import Scores, compare
from fedray.evaluation.samples import sample_of
from fedray.randomness import stream

PROTOCOL = 2
"""Version of the sets; a change must raise it. That of the scores is the reference's."""

CEILINGS: Mapping[str, str | None] = {"blurred": "blur 2 px", "shuffled": "patches 1/8", "grey": None}
"""Names of the sets, as heads of columns, and of their destruction; None: every pixel is the mean of all tiles."""


def ceilings(store: TileStore, config: EvaluationConfig, evaluator: Evaluator, seed: int = 0) -> Mapping[str, Scores]:
    """Score real tiles that are destroyed for good; the first call for what the floor hangs on computes and caches it.

    Args:
        store: The real tiles.
        config: Which of them are compared.
        evaluator: Prepared for both.
        seed: Of the draw of real tiles.

    Returns:
        Scores by name, by name of the set; without those of sets that tiles are too small for, and of labels that the
        features do not tell apart. The tiles are the floor's, or where the store has too few for one, those compared;
        of several draws it is the mean.
    """
    draws = reference.floor_draws(store, config, seed) or [reference.compared_indices(store, config, seed)]
    protocol = reference.protocol_name(evaluator.extractor, config, len(draws[0]), seed)
    name = f"ceilings{PROTOCOL}-{reference.PROTOCOL}-{protocol}"

    def build() -> Stored:
        found = {ceiling: _scored(ceiling, store, draws, evaluator, seed) for ceiling in _applying(store, draws[0])}
        return Stored({"indices": np.concatenate(draws)}, {"scores": json.dumps(found)})

    found: dict[str, Scores] = json.loads(load_or_build(cache_path(store.fingerprint, name), build).metadata["scores"])
    return {ceiling: evaluator.without_void(scores) for ceiling, scores in found.items()}


def _applying(store: TileStore, drawn: NDArray[np.int64]) -> list[str]:
    shape = (store.tile_size, store.tile_size, store.channels)
    return [ceiling for ceiling, destruction in CEILINGS.items()
            if destruction is None or why_skipped(destruction, shape, store.labels[drawn]) is None]  # fmt: skip


def _scored(
    ceiling: str, store: TileStore, draws: Sequence[NDArray[np.int64]], evaluator: Evaluator, seed: int
) -> Scores:
    rng = stream(seed, "self-test", CEILINGS[ceiling] or ceiling)
    real, found = evaluator.reference.samples, []
    for drawn in draws:
        labels = store.labels[drawn]
        tiles = _destroyed(ceiling, store.tiles(drawn), labels, rng)
        fake = sample_of(tiles, labels, evaluator.extractor, evaluator.device)
        found.append(compare(evaluator.extractor.name, evaluator.label_names, real, fake))
    return reference.mean_scores(found)


def _destroyed(ceiling: str, tiles: Tiles, labels: Labels, rng: np.random.Generator) -> Tiles:
    if (destruction := CEILINGS[ceiling]) is None:
        return np.full_like(tiles, round(float(tiles.mean())))
    [destroyed] = destroy(destruction, tiles, labels, rng)
    return destroyed
