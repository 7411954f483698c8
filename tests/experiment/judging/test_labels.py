"""How classifiers are judged, when their training ends, and what is refused: without Ray."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from fedray.config import ConfigError
from fedray.data import Tile, client_partition, partitioned_store, write_store
from fedray.evaluation import EvaluationError, mode_of
from fedray.experiment.engines import ExperimentRun
from fedray.experiment.judging import Evaluation
from fedray.experiment.judging.labels import evaluate, notes, score_names, trivial_row
from fedray.experiment.run import check_config
from fedray.experiment.settled import settled
from fedray.federation import client_app, load_checkpoint, save_checkpoint, shared_arrays
from fedray.results.pictures import draw_preview
from fedray.tasks.classification import Classifier, split_validation
from fedray.testing import LocalGrid
from tests.support.classifiers import experiment
from tests.support.federation import first_state

JOBS = Path(__file__).parents[3] / "jobs"


def store_of(path, counts, names=("a", "b", "c")):
    """Tiles of 16 px: ``counts[split][label]`` of them."""
    random = np.random.default_rng(0)
    tiles = [
        Tile(random.integers(0, 256, (16, 16, 3), dtype=np.uint8), label, 0, f"{split}{label}{i}", split, f"{i}")
        for split, numbers in counts.items()
        for label, number in enumerate(numbers)
        for i in range(number)
    ]
    return write_store(path, tiles, label_names=list(names))


def test_an_evaluation_is_the_network_on_all_tiles_of_the_split(small_store):
    config = experiment(small_store)
    arrays = shared_arrays(first_state(config))
    found = evaluate(config, 1, arrays)
    one = Classifier(config.classification, (shape := partitioned_store(config).shape()), config.seed)
    indices = small_store.indices("test")
    answers, labels = one.logits(small_store.tiles(indices)).argmax(1), small_store.labels[indices]
    assert shape.num_labels == 2 and list(found.scores) == score_names(config, small_store)
    assert found.scores["balanced-accuracy/test/20"] == pytest.approx(balanced_accuracy_score(labels, answers))
    assert found.preview.sum() == 20 and found.preview.trace() == (answers == labels).sum()
    assert found.validation is None
    assert {mode_of(name) for name in found.scores} == {"max", None}
    assert draw_preview(small_store, found.preview, "round 1").shape[2] == 3


def test_the_validation_loss_is_over_what_all_clients_hold_back(small_store):
    config = experiment(small_store, classification__patience=1, classification__validation_share=0.3)
    found = evaluate(config, 1, shared_arrays(first_state(config)))
    source, one = partitioned_store(config), Classifier(config.classification, partitioned_store(config).shape(), 0)
    held = [split_validation(source.tiles(c), config.classification, 0, c)[1] for c in range(2)]
    logits = np.concatenate([one.logits(part.tiles) for part in held]).astype(float)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.concatenate([part.labels for part in held])
    assert 0 < len(labels) < 20
    assert found.validation == pytest.approx(log_loss(labels, shares, labels=[0, 1]), rel=1e-6)


def test_the_trivial_row_answers_what_the_clients_have_most_of(tmp_path):
    store = store_of(tmp_path / "s", {"train": [4, 8, 2], "test": [6, 2, 2]})
    config = experiment(store, federation__num_clients=1)
    row = trivial_row(config)
    assert row.label == "b"
    assert row.floor["accuracy/test/10"] == pytest.approx(0.2)
    assert row.floor["balanced-accuracy/test/10"] == pytest.approx(1 / 3)
    assert len(np.concatenate(client_partition(config).clients)) == 14


def test_a_label_that_the_split_lacks_is_told_before_the_start(tmp_path):
    store = store_of(tmp_path / "s", {"train": [4, 4, 4], "test": [3, 0, 3]})
    config = experiment(store)
    (note,) = notes(config, store)
    assert "no tile of the test split has the label(s) 'b'" in note
    assert not any("/b" in name for name in score_names(config, store))
    assert notes(experiment(store, evaluation__split="train"), store) == []


def test_a_split_of_one_label_is_refused_before_the_start(tmp_path):
    store = store_of(tmp_path / "s", {"train": [4, 4, 4], "test": [3, 0, 0]})
    with pytest.raises(EvaluationError, match="the test split has only 'a'"):
        check_config(settled(experiment(store)), store)


class Scripted(ExperimentRun):
    """Trains for real, and is told what the validation says."""

    losses = (0.9, 0.5, 0.7, 0.6, 0.1)

    def evaluate(self):
        return Evaluation({}, np.zeros((2, 2), np.int64), validation=self.losses[self.state.round_index - 1])


def scripted(store, **changes):
    config = experiment(store, federation__num_rounds=5, classification__patience=2, **changes)
    return Scripted(config, LocalGrid(client_app, 2))


def test_patience_ends_the_rounds_and_keeps_the_best_network(small_store):
    run, after = scripted(small_store), []
    while not run.done:
        run.step()
        after.append(run.state.best)
    assert run.state.round_index == 4 and run.state.validation == [0.9, 0.5, 0.7, 0.6]
    assert all(np.array_equal(value, after[1][name]) for name, value in shared_arrays(run.state).items())
    assert not all(np.array_equal(value, after[0][name]) for name, value in after[1].items())


def test_a_stopped_run_goes_on_with_its_patience_and_its_best_network(small_store, tmp_path):
    run = scripted(small_store)
    for _ in range(3):
        run.step()
    save_checkpoint(tmp_path / "c", run.state, {})
    loaded, _ = load_checkpoint(tmp_path / "c")
    assert (loaded.round_index, loaded.validation) == (3, [0.9, 0.5, 0.7])
    assert loaded.best.keys() == run.state.best.keys()
    assert all(np.array_equal(value, run.state.best[name]) for name, value in loaded.best.items())
    again = scripted(small_store)
    again._start(loaded)
    again.step()
    assert again.done and again.state.round_index == 4


def test_without_patience_all_rounds_run(small_store):
    run = Scripted(experiment(small_store, federation__num_rounds=2), LocalGrid(client_app, 2))
    run.evaluate = lambda: replace(Scripted.evaluate(run), validation=None)
    while not run.done:
        run.step()
    assert run.state.round_index == 2 and not run.state.best


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (
            {"federation__mode": "md-gan"},
            "must be 'federated', 'fedssg' or 'centralised' for task 'classification', but got 'md-gan'",
        ),
        ({"federation__aggregate": "generator"}, "federation.aggregate is which network of a GAN is averaged"),
        ({"privacy__noise_multiplier": 1.0}, "privacy is for tasks that make tiles"),
        ({"evaluation__num_samples": 32}, "evaluation.num_samples and evaluation.extractor are for generated tiles"),
        ({"classification__patience": 1, "data__store": "sites"}, "classification.patience needs a data.store"),
        ({"task": "regression"}, "task: input should be 'gan', 'classification' or 'flow'"),
    ],
)
def test_what_is_made_for_gans_is_refused(small_store, changes, rule):
    with pytest.raises(ConfigError, match=rule):
        experiment(small_store, **changes)


@pytest.mark.parametrize(("job", "task"), [("train_gan", "classification"), ("train_classifier", "gan")])
def test_a_job_names_the_one_for_another_task(job, task, tmp_path):
    spec = importlib.util.spec_from_file_location(job, JOBS / f"{job}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    other = "train_classifier" if job == "train_gan" else "train_gan"
    with pytest.raises(ConfigError, match=rf"but task is '{task}'; use jobs/{other}\.py"):
        module.main(["--task", task, "--out", str(tmp_path / "run"), "--dry-run"])
