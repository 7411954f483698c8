"""The extractors: 'domain-cnn' learns what it says; Inception takes the published weights or says what to do."""

import hashlib
import pickle
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from fedray.config import EvaluationConfig
from fedray.config.extractors import EXTRACTORS as CHOICES
from fedray.config.extractors import FROM_FILE
from fedray.data import TileStore
from fedray.evaluation import EXTRACTORS, EvaluationError, Evaluator
from fedray.evaluation.extractors import Extractor, inception, lite0
from fedray.evaluation.extractors.base import reduce_to
from fedray.testing import ExtractorSuite

MakeStore = Callable[..., TileStore]


# Those that need no file of weights; Inception's own tests are below, and those of files have a module of their own.
LOADED = {name: load for name, load in EXTRACTORS.items() if name not in (inception.NAME, *FROM_FILE)}


@pytest.mark.parametrize(("load", "config"), [(load, EvaluationConfig()) for load in LOADED.values()], ids=LOADED)
class TestExtractors(ExtractorSuite):
    pass


@pytest.fixture(scope="module")
def domain_cnn(store: TileStore) -> Extractor:
    return EXTRACTORS["domain-cnn"](store, EvaluationConfig())


def test_every_extractor_is_known_to_config_and_torch_fidelity() -> None:
    assert set(EXTRACTORS) == set(CHOICES)
    assert EvaluationConfig().chosen_extractor in CHOICES
    assert (set(EXTRACTORS) | {lite0.NAME}) - set(FROM_FILE) <= set(FEATURE_EXTRACTORS_REGISTRY)


def test_domain_cnn_tells_the_labels_of_test_tiles_apart(store: TileStore, domain_cnn: Extractor) -> None:
    quality = domain_cnn.quality
    assert quality is not None
    assert quality.trivial_balanced_accuracy == 1 / len(store.label_names)
    assert quality.num_test == len(store.indices("test"))
    assert quality.balanced_accuracy > 0.8


def test_domain_cnn_features_have_unit_scale_on_training_tiles(store: TileStore, domain_cnn: Extractor) -> None:
    features = domain_cnn.features(store.tiles(store.indices("train")), torch.device("cpu"))
    assert features.shape == (len(store.indices("train")), 64)
    assert features.dtype == np.float32
    assert features.var(0, ddof=1).sum() == pytest.approx(64, rel=1e-3)


def test_domain_cnn_takes_large_tiles(domain_cnn: Extractor, real: np.ndarray) -> None:
    tiles = np.tile(real[:3], (1, 7, 7, 1))
    features = domain_cnn.features(tiles, torch.device("cpu"))
    assert features.shape == (3, 64)
    assert np.isfinite(features).all()


def test_domain_cnn_needs_two_labels(make_store: MakeStore) -> None:
    store = make_store({"gland": (20, 20)})
    with pytest.raises(EvaluationError, match=r"at least 2 .* has 1 \(gland\); use .*'efficientnet-lite0'"):
        Evaluator.prepare(store, EvaluationConfig(extractor="domain-cnn"))


def test_reduction_is_antialiased_and_never_enlarges() -> None:
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 255.0
    assert (reduce_to(stripes, 16)[..., 1:-1] - 127.5).abs().max() < 2  # aliased sampling would give 0 or 255
    assert reduce_to(stripes, 64) is stripes
    assert reduce_to(stripes, 299) is stripes


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """An empty download folder of torch hub."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub"
    torch.hub.set_dir(before)


def test_inception_without_weights_names_file_place_and_remedy(
    store: TileStore, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:  # bound, but not listening: connections are refused at once
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/weights-inception-2015-12-05-6726825d.pth"
        monkeypatch.setattr(inception, "WEIGHTS_URL", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        asked, urlopen = [], urllib.request.urlopen
        monkeypatch.setattr(
            urllib.request,
            "urlopen",
            lambda request, timeout: asked.append(timeout) or urlopen(request, timeout=timeout),
        )
        with pytest.raises(EvaluationError) as caught:
            Evaluator.prepare(store, EvaluationConfig(extractor="inception-v3-compat"))
    assert asked == [inception.DOWNLOAD_TIMEOUT_S], "one attempt, and one that ends"
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert str(hub / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth") in message
    assert url in message
    assert "evaluation.extractor_weights" in message
    assert not list(hub.rglob("*.partial"))


def test_inception_refuses_a_missing_path(store: TileStore, tmp_path: Path) -> None:
    config = EvaluationConfig(extractor="inception-v3-compat", extractor_weights=str(tmp_path / "none.pth"))
    with pytest.raises(EvaluationError, match=r"cannot read the Inception weights .*none.pth: No such file"):
        Evaluator.prepare(store, config)


def test_inception_refuses_a_file_that_is_not_the_published_one_and_does_not_unpickle_it(
    store: TileStore, tmp_path: Path
) -> None:
    trap, sprung = tmp_path / "weights.pth", tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (sprung,)

    torch.save({"fc.weight": Trap()}, trap)
    config = EvaluationConfig(extractor="inception-v3-compat", extractor_weights=str(trap))
    with pytest.raises(
        EvaluationError, match="is not the published file of the Inception weights: its SHA-256 must be 6726825d"
    ):
        Evaluator.prepare(store, config)
    assert not sprung.exists()


def test_inception_runs_on_weights_of_the_expected_hash(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way on random weights, declared to be the published ones."""
    with monkeypatch.context() as patch:  # the class loads weights when it is built: give it none
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = inception.FeatureExtractorInceptionV3("random", ["2048"])
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    config = EvaluationConfig(extractor="inception-v3-compat", extractor_weights=str(path))
    extractor = EXTRACTORS["inception-v3-compat"](make_store({"gland": (3, 3)}), config)
    tiles = np.random.default_rng(0).integers(0, 256, (2, 320, 320, 3), dtype=np.uint8)
    features = extractor.features(tiles, torch.device("cpu"))
    assert features.shape == (2, 2048)
    expected = network(reduce_to(torch.from_numpy(tiles).permute(0, 3, 1, 2).float(), 299).round().to(torch.uint8))[0]
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-4, atol=1e-5)
