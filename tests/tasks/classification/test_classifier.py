"""A classifier as named arrays, and its answers."""

import numpy as np
import pytest
import torch

from fedray.config.classification import ClassificationConfig
from fedray.data import TileShape
from fedray.learning import DivergedError, ModelError
from fedray.tasks.classification import Classifier
from tests.support.classifiers import NETWORKS, SHAPE, classifier, config, tiles
from tests.support.networks import imagenet_file


@pytest.mark.parametrize("network", NETWORKS)
def test_arrays_carry_a_whole_network_batch_statistics_and_counters_among_them(network):
    before, other = classifier(network=network), classifier(network=network, seed=1)
    before.network.train()
    before.network(torch.randn(4, 3, 16, 16))  # moves batch statistics
    arrays = before.arrays()
    assert set(before.trained()) < set(arrays) or network != "test_efficientnet"
    other.load(arrays)
    for name, value in other.arrays().items():
        np.testing.assert_array_equal(value, arrays[name])
        assert value.dtype == arrays[name].dtype
    np.testing.assert_array_equal(other.logits(tiles().tiles), before.logits(tiles().tiles))
    if network == "test_efficientnet":
        counters = [value for name, value in arrays.items() if name.endswith("num_batches_tracked")]
        assert counters and all(value.dtype == np.int64 and value == 1 for value in counters)


def test_any_subset_of_the_arrays_is_loaded_and_the_others_stay():
    one, other = classifier(network="test_efficientnet"), classifier(network="test_efficientnet", seed=1)
    own = one.arrays()
    subset = other.arrays(["classifier.head"])
    assert (
        set(subset) == {"classifier.head.1.weight", "classifier.head.1.bias"} == set(other.trained(["classifier.head"]))
    )
    assert list(other.arrays(["classifier.head.1.bias"])) == ["classifier.head.1.bias"]
    one.load(subset)
    for name, value in one.arrays().items():
        np.testing.assert_array_equal(value, subset.get(name, own[name]))
    one.load({})


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"classifier.head.1.bias": np.zeros(4, np.float32)}, r"head.1.bias has the shape \(4,\), .*of shape \(3,\)"),
        ({"generator.head.bias": np.zeros(3, np.float32)}, r"generator.head.bias .*not there"),
    ],
)
def test_arrays_of_another_network_are_refused_whole(arrays, rule):
    one = classifier()
    before = one.arrays()
    with pytest.raises(ValueError, match=rule):
        one.load({"classifier.head.1.weight": before["classifier.head.1.weight"] + 1, **arrays})
    np.testing.assert_array_equal(one.arrays()["classifier.head.1.weight"], before["classifier.head.1.weight"])


def test_logits_are_the_network_in_evaluation_mode_whatever_the_batch():
    one = classifier(network="test_efficientnet", dropout=0.5)
    one.network.train()
    pixels = tiles(7).tiles
    as_floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    logits = one.logits(pixels)
    assert one.network.training, "the mode is put back"
    with torch.no_grad():
        np.testing.assert_allclose(logits, one.network.eval()(as_floats).numpy(), atol=1e-5)
    np.testing.assert_allclose(one.logits(pixels, batch_size=2), logits, atol=1e-5)
    assert one.logits(pixels[:0]).shape == (0, 3)


def test_logits_that_are_not_finite_are_a_divergence():
    one = classifier()
    one.load({"classifier.head.1.bias": np.array([0.0, np.nan, 0.0], np.float32)})
    with pytest.raises(DivergedError, match=r"logits are not finite; a smaller classification\.lr"):
        one.logits(tiles().tiles)


def test_the_seed_is_the_only_chance_in_a_new_network():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one, same, other = (classifier(network="test_vit", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    differ = [not np.array_equal(value, other.arrays()[name]) for name, value in one.arrays().items()]
    assert any(differ)
    for name, value in one.arrays().items():
        np.testing.assert_array_equal(value, same.arrays()[name])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [4, 20, 40])
def test_the_small_cnn_takes_tiles_of_any_size_and_colour(size, channels):
    shape = TileShape(size, channels, 5)
    assert classifier(shape).logits(tiles(5, shape).tiles).shape == (5, 5)


@pytest.mark.parametrize("network", ["cnn", "test_efficientnet"])
def test_small_tiles_are_enlarged_as_pytorch_does_it(network):
    one = classifier(network=network, enlarge_to=48).network.eval()
    seen = []
    next(part for part in one.modules() if isinstance(part, torch.nn.Conv2d)).register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    batch = torch.randn(2, 3, 16, 16)
    one(batch)
    large = torch.nn.functional.interpolate(batch, (48, 48), mode="bilinear", align_corners=False)
    if network == "test_efficientnet":
        large = ((large + 1) / 2 - one.mean) / one.std
    torch.testing.assert_close(seen[0], large)


@pytest.mark.parametrize("channels", [1, 3])
def test_installed_imagenet_weights_are_those_of_the_package(channels):
    """Grey tiles get the sum over the colours of the first kernels."""
    from fedray.pretrained import frozen_lite0

    published = frozen_lite0().state_dict()
    one = classifier(
        TileShape(16, channels, 2), network="tf_efficientnet_lite0", initialisation="imagenet"
    ).network.features.state_dict()
    for name, value in one.items():
        expected = published[name]
        if name == "conv_stem.weight" and channels == 1:
            expected = expected.sum(1, keepdim=True)
        torch.testing.assert_close(value, expected)


def test_imagenet_weights_come_from_the_named_file(tmp_path):
    from safetensors.torch import load_file

    path = imagenet_file("test_vit", tmp_path)
    one = classifier(TileShape(160, 3, 2), network="test_vit", initialisation="imagenet", weights=path)
    expected = load_file(path)
    torch.testing.assert_close(
        one.network.features.state_dict()["blocks.0.attn.qkv.weight"], expected["blocks.0.attn.qkv.weight"]
    )


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"network": "resnet81"}, r"classification.network must be 'cnn'.* but got 'resnet81'; .*'resnet18'"),
        (
            {"network": "resnet18", "initialisation": "imagenet", "weights": "no.pth"},
            r"classification.weights must be a file, .*no\.pth.*initialisation to 'random', or take 'tf_",
        ),
    ],
)
def test_networks_that_cannot_be_built_are_refused_in_the_words_of_their_section(fields, rule):
    with pytest.raises(ModelError, match=rule):
        classifier(**fields)


def test_weights_that_are_not_there_are_refused_before_timm_asks_the_internet(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDRAY_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match=r"FEDRAY_WEIGHTS must hold resnet18\.safetensors or resnet18\.pth"):
        classifier(network="resnet18", initialisation="imagenet")


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"initialisation": "imagenet"}, "classification.network is 'cnn', which has no ImageNet weights"),
        (
            {"network": "resnet18", "weights": "a.pth"},
            "needs classification.initialisation 'imagenet', but got 'random'",
        ),
    ],
)
def test_wrong_combinations_are_refused_by_the_configuration(fields, rule):
    with pytest.raises(ValueError, match=rule):
        ClassificationConfig(**fields)


def test_shared_weights_need_no_weight_file():
    fields = {"network": "resnet18", "initialisation": "imagenet", "weights": "no.pth"}
    assert Classifier(config(**fields), SHAPE, 0, load_weights=False).trained()


@pytest.mark.parametrize("network", ["cnn", "test_efficientnet"])
def test_a_projection_head_stands_between_the_features_and_the_last_layer(network):
    plain, one = classifier(network=network), classifier(network=network, projection=5)
    assert set(one.arrays()) - set(plain.arrays()) == {
        f"classifier.projection.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    arrays = one.arrays()
    first, second, last = (arrays[f"classifier.{name}.weight"] for name in ("projection.0", "projection.2", "head.1"))
    width = plain.arrays()["classifier.head.1.weight"].shape[1]
    assert first.shape == (width, width) and second.shape == (5, width) and last.shape == (3, 5)
    plain.load({name: value for name, value in arrays.items() if name in plain.arrays() and "head" not in name})
    batch = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        features = plain.network.eval().represent(batch).numpy()
        hidden = np.maximum(features @ first.T + arrays["classifier.projection.0.bias"], 0)
        expected = hidden @ second.T + arrays["classifier.projection.2.bias"]
        np.testing.assert_allclose(one.network.eval().represent(batch).numpy(), expected, atol=1e-5)
        logits = expected @ last.T + arrays["classifier.head.1.bias"]
        np.testing.assert_allclose(one.network(batch).numpy(), logits, atol=1e-5)
