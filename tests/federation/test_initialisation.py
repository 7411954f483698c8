"""ImageNet weights in a federation: who reads the file, and who does without."""

import pytest

from fedray.federation import client_app
from fedray.learning import ModelError
from fedray.tasks.gan.fresh import _built
from fedray.testing import LocalGrid
from tests.support.federation import first_state, run
from tests.support.networks import imagenet_file


@pytest.mark.parametrize("aggregate", ["both", "generator"])
def test_only_who_keeps_a_discriminator_needs_the_file(aggregate, small_config, tmp_path):
    weights = imagenet_file("resnet18", tmp_path)
    config = small_config(
        gan__objective="acgan", gan__discriminator="resnet18", gan__initialisation="imagenet", gan__weights=weights,
        federation__aggregate=aggregate, federation__num_rounds=1,
    )  # fmt: skip
    state = first_state(config)
    (tmp_path / "resnet18.safetensors").unlink()  # the clients are on other machines
    _built.cache_clear()
    grid = LocalGrid(client_app, 2)
    if aggregate == "both":
        _, (report,), _ = run(config, grid=grid, state=state)
        assert report.num_clients == 2
    else:
        with pytest.raises(Exception, match=r"ModelError: gan\.weights must be a file"):
            run(config, grid=grid, state=state)


def test_the_server_does_not_begin_without_the_file(small_config, tmp_path):
    config = small_config(
        gan__objective="acgan", gan__discriminator="resnet18", gan__initialisation="imagenet",
        gan__weights=str(tmp_path / "none.pth"),
    )  # fmt: skip
    with pytest.raises(ModelError, match="there is none at"):
        first_state(config)
