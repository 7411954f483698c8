import logging
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor, nn

from fedray.tracking import Tracker
from tests.support.mlflow_models import load_model


class Generator(nn.Module):
    """A small conditional generator with all that behaves differently in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 16)
        self.project = nn.Linear(8, 8 * 4 * 4)
        self.body = nn.Sequential(
            nn.BatchNorm2d(8), nn.Dropout2d(0.5), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        features = self.project(noise).view(-1, 8, 4, 4)
        tiles: Tensor = self.body(features * self.embedding(labels).view(-1, 1, 4, 4))
        return tiles


def batch(size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(size, 8), torch.arange(size) % 2


@pytest.mark.parametrize("example_size", [1, 4])
def test_a_generator_comes_back_for_any_batch_size(tracker: Tracker, uri: str, example_size: int) -> None:
    generator = Generator()
    generator(*batch(16))  # moves the batch norm's statistics
    run = tracker.start_run("run")
    run.log_round(5, {"fid": 12.0})
    model_uri = run.log_model(generator, batch(example_size), "generator")
    run.finish("FINISHED")
    assert generator.training  # itself unchanged
    generator.eval()
    loaded = load_model(uri, model_uri)
    for size in (1, 7, 64):
        inputs = batch(size)
        torch.testing.assert_close(loaded(*inputs), generator(*inputs))
    (model,) = MlflowClient(uri).search_logged_models([tracker.experiment_id])
    assert model_uri == f"models:/{model.model_id}"
    assert [(metric.key, metric.value, metric.step) for metric in model.metrics] == [("fid", 12.0, 5)]
    assert model.status.value == "READY"
    assert not any(Path.cwd().iterdir())


def test_logging_a_generator_is_quiet_and_leaves_logging_alone(tracker: Tracker, capfd: pytest.CaptureFixture) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    run = tracker.start_run("run")
    run.log_model(Generator(), batch(2), "generator")
    run.finish("FINISHED")
    assert (root.level, list(root.handlers)) == before
    assert capfd.readouterr() == ("", "")
