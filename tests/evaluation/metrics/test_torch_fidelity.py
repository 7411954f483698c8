"""FID, KID, precision and recall of an evaluation, against torch-fidelity called on the same tiles as PNG files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity import calculate_metrics, register_feature_extractor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation import Evaluator, compared_indices
from fedray.evaluation.destruction import DESTRUCTIONS


@pytest.fixture(scope="module")
def registered(evaluator: Evaluator) -> str:
    """Have torch-fidelity ask the very network that the evaluator asks, by a name."""

    class Same(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
            super().__init__(name, features_list)
            self.network = evaluator.extractor.network

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("all",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "all"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, ...]:
            (found,) = self.network(tiles)
            return (found,)

    register_feature_extractor("of-the-evaluator", Same)
    return "of-the-evaluator"


def as_pngs(tiles: np.ndarray, folder: Path) -> str:
    folder.mkdir()
    for number, tile in enumerate(tiles):
        Image.fromarray(tile).save(folder / f"{number:04d}.png")
    return str(folder)


MAKE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "other real tiles": lambda tiles, labels: tiles,
    "blurred": lambda tiles, labels: DESTRUCTIONS["blur 1 px"].apply(tiles, labels, np.random.default_rng(0)),
    "few, repeated": lambda tiles, labels: DESTRUCTIONS["32 repeated"].apply(tiles, labels, np.random.default_rng(0)),
}


@pytest.mark.parametrize("name", MAKE)
def test_scores_are_those_of_torch_fidelity_on_the_same_pictures(
    store: TileStore, evaluator: Evaluator, real: np.ndarray, registered: str, tmp_path: Path, name: str
) -> None:
    made = MAKE[name](real, evaluator.labels)
    asked = {
        "input1": as_pngs(made, tmp_path / "made"),
        "input2": as_pngs(store.tiles(compared_indices(store, EvaluationConfig(num_samples=256))), tmp_path / "real"),
        "feature_extractor": registered,
        "feature_extractor_internal_dtype": None,
        "batch_size": 64,
        "cuda": False,
        "cache": False,
        "verbose": False,
        "save_cpu_ram": True,
    }
    expected = calculate_metrics(
        **asked, fid=True, kid=True, prc=True, kid_subset_size=256, kid_subsets=1, prc_neighborhood=3
    )
    expected["recall"] = calculate_metrics(**asked, prc=True, prc_neighborhood=5)["recall"]
    found = evaluator.scores(made, evaluator.labels)
    for kind, theirs in {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "precision": "precision",
        "recall": "recall",
    }.items():
        assert found[f"{kind}/efficientnet-lite0/256"] == pytest.approx(expected[theirs], rel=1e-4), kind
