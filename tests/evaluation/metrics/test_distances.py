"""The mathematics, against direct computations on real features."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from fedray.data import TileStore
from fedray.evaluation import Evaluator
from fedray.evaluation.metrics import Sample, distances
from fedray.evaluation.metrics.distances import fid, kid


@pytest.fixture(scope="module")
def features(store: TileStore, evaluator: Evaluator, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return evaluator.reference.samples["efficientnet-lite0"].features, evaluator.extractor.features(
        real, evaluator.device
    )


def sample(features: np.ndarray) -> Sample:
    return Sample(features.astype(np.float32), np.zeros(len(features), np.int64))


def fid_by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    sigma_x, sigma_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(sigma_x @ sigma_y)
    difference = x.mean(0) - y.mean(0)
    return float(difference @ difference + np.trace(sigma_x) + np.trace(sigma_y) - 2 * np.trace(root).real)


def kid_by_loops(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, d = x.shape

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / d + 1) ** 3)

    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(x[i], y[j]) for i in range(n) for j in range(n))
    return within / (n * (n - 1)) - 2 * across / n**2


def fid_by_torch_fidelity(x: np.ndarray, y: np.ndarray) -> float:
    statistics = (fid_features_to_statistics(torch.from_numpy(part.astype(np.float64))) for part in (x, y))
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])


@pytest.mark.parametrize("num", [256, 250, 90, 3])  # more tiles than the 248 features, or fewer
def test_fid_equals_the_direct_computation(features: tuple[np.ndarray, np.ndarray], num: int) -> None:
    x, y = (part[:num] for part in features)
    found = fid(sample(x), sample(y))
    assert found == pytest.approx(fid_by_torch_fidelity(x, y), rel=1e-6)
    assert found == pytest.approx(fid_by_sqrtm(x, y), rel=1e-6)


def test_fid_of_a_set_with_itself_is_zero(features: tuple[np.ndarray, np.ndarray]) -> None:
    found = sample(features[0])
    assert abs(fid(found, found)) < 1e-6 * np.sum(found.root**2)


def test_kid_equals_the_double_loop(features: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = features
    assert kid(x, y) == pytest.approx(kid_by_loops(x, y), rel=1e-9)


def test_kid_of_large_sets_estimates_the_exact_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "KID_SUBSET_SIZE", 200)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 4)), rng.normal(0.5, size=(400, 4))
    assert kid(x, y) == kid(x, y)
    assert kid(x, y) == pytest.approx(kid_by_loops(x, y), rel=0.1)
