"""jobs/fedssg.py: it runs a study of a generator and of two classifiers, one of which is handed its tiles."""

import pytest
import yaml

from fedray.config import ExperimentConfig, GateConfig, override
from fedray.studies import Study
from fedray.studies.fedssg import fedssg_study


@pytest.fixture
def fedssg(run):
    return lambda *arguments: run("fedssg", *arguments)


@pytest.fixture
def own(small_store):
    """A classifier's options on the small store."""
    return ("--data", small_store.path, "--federation.num-clients", 2, "--classification.channels", 8)


def classifier(**changes):
    values = {"task": "classification", "federation.mode": "fedssg", "federation.local_steps": 5,
              "classification.tiles": "both", "classification.synthetic": "-"}  # fmt: skip
    return override(
        ExperimentConfig(), values | {name.replace("__", "."): value for name, value in changes.items()}, ""
    )


def test_a_dry_run_prints_the_whole_chain_and_starts_nothing(fedssg, own, folder, tmp_path, no_new_ray):
    done = fedssg(*own, "--classification.allocation", "cover", "--per-label", 20, "--seeds", 3, 4, "--dry-run")
    assert done.status == 0, done.errors
    study = Study.model_validate(yaml.safe_load(done.output))
    assert list(study.all_seeds) == [3, 4] and study.per_label("tiles") == 20
    assert study.stores["tiles"].gate == GateConfig()
    maker, plain = study.config("maker", 3), study.config("plain", 3)
    handed = study.config("handed", 3, tmp_path)
    assert (maker.task, plain.federation.mode, handed.federation.mode) == ("flow", "federated", "fedssg")
    assert (plain.classification.tiles, handed.classification.tiles) == ("real", "both")
    assert plain.classification.channels == handed.classification.channels == 8
    assert handed.classification.allocation == "cover" and plain.federation.local_steps == 20
    assert list(folder.iterdir()) == []
    no_new_ray()


def test_the_maker_has_the_clients_and_the_tiles_of_the_classifier():
    one = classifier(federation__num_clients=3, partition__scheme="dirichlet", partition__alpha=0.2)
    other = override(ExperimentConfig(), {"task": "gan", "gan.n_critic": 2, "federation.num_clients": 9,
                                          "federation.num_rounds": 7, "data.tile_size": 64}, "")  # fmt: skip
    study = fedssg_study(one, other, per_label=9, gate=None, seeds=[0])
    maker = study.config("maker", 0)
    assert (maker.task, maker.gan.n_critic, maker.federation.num_rounds) == ("gan", 2, 7)
    assert (maker.data, maker.partition, maker.federation.num_clients) == (one.data, one.partition, 3)
    assert study.stores["tiles"].gate is None


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--federation.mode", "centralised"], "federation.mode must be 'fedssg', but got 'centralised'"),
        (["--federation.local-steps", "None"], "federation.local_steps must be set"),
        (["--no-gate", "--limits.distance", "1"], "--limits are those of the gate"),
        (["--classification.synthetic-per-real", "0"], "greater than 0"),
        (["--seeds", "1", "1"], "seeds must be different numbers"),
        (["--out", "s3://bucket/x"], "--out must be a folder that all machines see"),
        (["--resume", "gone"], "there is no study to continue in gone"),
        (["--resume", "gone", "--per-label", "3"], "cannot be combined with --per-label"),
    ],
)
def test_what_cannot_be_done_is_one_message(fedssg, refused, argv, expected):
    assert expected in refused(fedssg, *argv)


def test_files_of_the_other_task_are_refused(fedssg, refused, write_config, tmp_path):
    message = refused(fedssg, "--config", write_config())
    assert "--config is the classifier's" in message and "has the task 'gan'; give it to --maker" in message
    path = tmp_path / "classifier.yaml"
    path.write_text("task: classification\n")
    assert "what makes the tiles must have the task 'gan', 'flow'" in refused(fedssg, "--maker", path)
