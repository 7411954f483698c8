import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from PIL import Image

from fedray.config import ExperimentConfig, GanConfig, load_config
from fedray.tracking import Tracker, TrackingError

matplotlib.use("agg")


@dataclass(frozen=True)
class Store:
    path: Path = Path("/data/colon")
    name: str = "colon"
    source: str = "skimage.data.immunohistochemistry"
    fingerprint: str = "0123456789abcdef" * 4
    tile_size: int = 32
    label_names: tuple[str, ...] = ("gland", "stroma")


def history(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run_id, name)]


def test_rounds_are_buffered_and_complete(uri: str) -> None:
    run = Tracker(uri, "tests", flush_interval_s=3600).start_run("run")
    for round_index in range(20):
        run.log_round(round_index, {f"m{i}": round_index / (i + 1) for i in range(150)})
    assert history(uri, run.run_id, "m0") == [(0, 0.0)]  # the first round was sent at once; the rest waits
    run.finish("FINISHED")
    for i in (0, 149):
        assert history(uri, run.run_id, f"m{i}") == [(r, r / (i + 1)) for r in range(20)]


def test_divergence_is_recorded(tracker: Tracker, uri: str) -> None:
    run = tracker.start_run("run")
    run.log_round(0, {"nan": math.nan, "inf": math.inf, "fid/efficientnet-lite0/256": 3.0, "recall/tumour (2)": 0.5})
    run.finish("FAILED")
    assert math.isnan(history(uri, run.run_id, "nan")[0][1])
    assert history(uri, run.run_id, "inf")[0][1] > 1e308
    assert history(uri, run.run_id, "fid/efficientnet-lite0/256") == [(0, 3.0)]
    assert history(uri, run.run_id, "recall/tumour :lpar:2:rpar:") == [(0, 0.5)]


def test_the_config_comes_back(tracker: Tracker, uri: str) -> None:
    config = ExperimentConfig(seed=3, gan=GanConfig(n_critic=2, generator_lr=2e-4))
    run = tracker.start_run("run")
    run.log_config(config)
    run.finish("FINISHED")
    client = MlflowClient(uri)
    params = client.get_run(run.run_id).data.params
    assert (params["gan.n_critic"], params["gan.generator_lr"], params["seed"]) == ("2", "0.0002", "3")
    assert load_config(client.download_artifacts(run.run_id, "config.yaml")) == config


def test_long_and_many_parameters_fit(tracker: Tracker, uri: str) -> None:
    run = tracker.start_run("run", params={f"p{i}": "x" * 7000 for i in range(150)})
    run.finish("FINISHED")
    params = MlflowClient(uri).get_run(run.run_id).data.params
    assert len(params) == 150
    assert {len(value) for value in params.values()} == {6000}


def test_the_data_set_is_an_input(tracker: Tracker, uri: str) -> None:
    run = tracker.start_run("run")
    run.log_dataset(Store())
    run.finish("FINISHED")
    (given,) = MlflowClient(uri).get_run(run.run_id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("colon", Store().fingerprint[:36])
    assert {tag.key: tag.value for tag in given.tags}["fedray.fingerprint"] == Store().fingerprint
    assert "immunohistochemistry" in given.dataset.source
    assert "stroma" in given.dataset.profile


def test_pictures_are_artifacts_beside_the_database(tracker: Tracker, uri: str, tmp_path: Path) -> None:
    run = tracker.start_run("run")
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    run.log_figure(figure, "figures/labels.png")
    picture = np.random.default_rng(0).integers(0, 256, (40, 600, 3), np.uint8)
    run.log_image(picture, "of/samples", step=4, beside_others=picture[:, ::2])
    table = tmp_path / "scores.parquet"
    table.write_bytes(b"table")
    run.log_artifact(table, "results")
    run.finish("FINISHED")
    client = MlflowClient(uri)
    assert [entry.path for entry in client.list_artifacts(run.run_id, "figures")] == ["figures/labels.png"]
    assert Path(client.download_artifacts(run.run_id, "results/scores.parquet")).read_bytes() == b"table"
    images = [entry.path for entry in client.list_artifacts(run.run_id, "images")]
    assert sorted(Path(path).suffix for path in images) == [".png", ".webp"]
    for path in images:  # the UI shows the second: that of MLflow's own log_image has 256 px at the most
        assert path.startswith("images/of~samples+step+4+")
        shown = picture if path.endswith(".png") else picture[:, ::2]
        assert np.array_equal(np.asarray(Image.open(client.download_artifacts(run.run_id, path))), shown)
    assert client.get_run(run.run_id).data.tags["mlflow.loggedImages"] == "True"
    assert (tmp_path / "mlartifacts" / run.run_id).is_dir()
    assert not any(Path.cwd().iterdir())  # MLflow's default would be ./mlruns


def test_a_wrong_image_is_refused_with_its_shape(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\], but got float64 \[4, 4\]"):
        tracker.start_run("run").log_image(np.zeros((4, 4)), "samples", step=0)


def test_a_run_that_was_deleted_does_not_stop_training(tracker: Tracker, uri: str) -> None:
    run = tracker.start_run("run")
    MlflowClient(uri).delete_run(run.run_id)
    run.log_round(0, {"loss": 1.0})
    with pytest.raises(TrackingError, match=r"loss [(]"):
        run.finish("FINISHED", deadline_s=1.0)
