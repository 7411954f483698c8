"""Coverage and its kin, against loops that follow the papers' formulas."""

import numpy as np
import pytest

from fedray.data import TileStore
from fedray.evaluation import Evaluator
from fedray.evaluation.destruction import DESTRUCTIONS
from fedray.evaluation.metrics import Sample, neighbours
from fedray.evaluation.metrics.manifold import manifold
from fedray.evaluation.metrics.neighbours import squared_distances


def by_loops(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Kynkäänniemi et al. 2019, eq. 1 to 3, and Naeem et al. 2020, eq. 6 to 9."""

    def far(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.sum((a.astype(np.float64) - b) ** 2)))

    def radius(tiles: np.ndarray, index: int) -> float:
        others = [far(tiles[index], other) for place, other in enumerate(tiles) if place != index]
        return sorted(others)[k - 1]

    n, m = len(real), len(fake)
    real_radii, fake_radii = [radius(real, i) for i in range(n)], [radius(fake, j) for j in range(m)]
    inside = [[far(x, y) <= real_radii[i] for i, x in enumerate(real)] for y in fake]
    precision = sum(any(row) for row in inside) / m
    recall = sum(any(far(x, y) <= fake_radii[j] for j, y in enumerate(fake)) for x in real) / n
    density = sum(sum(row) for row in inside) / (k * m)
    coverage = sum(any(inside[j][i] for j in range(m)) for i in range(n)) / n
    return precision, recall, density, coverage


def sample(features: np.ndarray) -> Sample:
    return Sample(features.astype(np.float32), np.zeros(len(features), np.int64))


def cases() -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(30, 4)).astype(np.float32)
    return {
        "overlapping": (cloud, rng.normal(0.5, 1.0, (30, 4)).astype(np.float32), 5),
        "more generated": (cloud, rng.normal(0.5, 1.0, (41, 4)).astype(np.float32), 3),
        "apart": (cloud, cloud + 100, 5),
        "itself": (cloud, cloud, 5),
        "collapsed to two": (cloud, np.resize(cloud[:2], (30, 4)), 5),
        "constant real tiles": (np.zeros((20, 3), np.float32), np.zeros((20, 3), np.float32), 5),
        "on a grid, where distances tie": (
            rng.integers(0, 3, (40, 2)).astype(np.float32),
            rng.integers(0, 4, (40, 2)).astype(np.float32),
            4,
        ),
    }


@pytest.mark.parametrize("name", cases())
def test_all_four_equal_the_loops(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake, k = cases()[name]
    expected = by_loops(real, fake, k)
    assert manifold(sample(real), sample(fake), k) == pytest.approx(expected)
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", 100)  # a few rows at a time
    assert manifold(sample(real), sample(fake), k) == pytest.approx(expected)


def test_coverage_of_equal_distributions_is_what_the_paper_expects() -> None:
    """1 - (n - 1) ... (n - k) / ((2n - 1) ... (2n - k)), whatever the distribution (Naeem et al. 2020, eq. 12)."""
    n, k = 100, 5
    steps = np.arange(1, k + 1)
    expected = 1 - np.prod((n - steps) / (2 * n - steps))
    rng = np.random.default_rng(0)
    found = [manifold(*(sample(rng.normal(size=(n, 5))) for _ in range(2)), k).coverage for _ in range(40)]
    assert np.mean(found) == pytest.approx(expected, abs=3 * np.std(found) / np.sqrt(len(found)))


def test_collapse_shows_in_coverage_and_recall_though_kid_is_small(
    store: TileStore, evaluator: Evaluator, real: np.ndarray
) -> None:
    collapsed, blurred = (
        DESTRUCTIONS[name].apply(real, evaluator.labels, np.random.default_rng(0))
        for name in ("8 repeated", "blur 1 px")
    )
    found = evaluator.scores(collapsed, evaluator.labels)
    name = "efficientnet-lite0/256"
    assert found[f"kid/{name}"] < 0.8 * evaluator.scores(blurred, evaluator.labels)[f"kid/{name}"]
    assert found[f"coverage/{name}"] < 0.25 * evaluator.floor[f"coverage/{name}"]
    assert found[f"recall/{name}"] < 0.05 < 0.5 < evaluator.floor[f"recall/{name}"]


def test_one_good_tile_of_each_label_has_precision_and_neither_coverage_nor_recall(
    evaluator: Evaluator, real: np.ndarray
) -> None:
    """Of the real tiles that are none of those compared with, the ones that look most like these."""
    reference, labels = evaluator.reference.samples["efficientnet-lite0"], evaluator.labels
    features = evaluator.extractor.features(real, evaluator.device)
    [(_, _, far)] = squared_distances(features, reference.features)
    num_balls = np.sum(far <= reference.radii(3), axis=1)
    best = [max(np.flatnonzero(labels == label), key=lambda place: num_balls[place]) for label in (0, 1)]
    found, name = evaluator.scores(real[np.array(best)[labels]], labels), "efficientnet-lite0/256"
    assert found[f"precision/{name}"] == 1 > evaluator.floor[f"precision/{name}"]
    assert found[f"recall/{name}"] == 0 and found[f"coverage/{name}"] < 0.1 * evaluator.floor[f"coverage/{name}"]
    for label in evaluator.label_names:
        assert found[f"recall/{name}/label/{label}"] == 0
