"""jobs/run_study.py: what is asked is checked before anything starts."""

import pytest
import yaml

from tests.support.studies import small_study


@pytest.fixture
def run_study(run):
    return lambda *arguments: run("run_study", *arguments)


@pytest.fixture
def write_study(small_store, tmp_path):
    def write(**changes):
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(small_study(small_store, **changes).model_dump(mode="json")))
        return path

    return write


def test_a_dry_run_says_what_would_run_and_starts_nothing(run_study, write_study, folder, no_new_ray):
    done = run_study("--study", write_study(), "--seeds", 4, 5, 6, "--dry-run")
    assert done.status == 0, done.errors
    assert "# 9 cells of 12 steps, each computed once: 9 experiments, 3 stores of tiles" in done.output
    assert "step(s) at a time, each with 1 worker(s)" in done.output
    assert yaml.safe_load(done.output)["seeds"] == [4, 5, 6]
    assert list(folder.iterdir()) == []
    no_new_ray()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "name the study: --study NAME, one of augmentation, "),
        (["--study", "augmentatoin"], "did you mean 'augmentation'?"),
        (["--study", "no.yaml"], "cannot read the configuration file no.yaml"),
        (["--study", "augmentation", "--out", "s3://bucket/x"], "--out must be a folder that all machines see"),
        (["--study", "augmentation", "--seeds", "1", "1"], "seeds must be different numbers"),
        (["--study", "augmentation", "--data", "nowhere"], "there is no 'nowhere'"),
        (["--study", "augmentation", "--max-concurrent", "0"], "greater than or equal to 1"),
        (["--resume", "gone"], "there is no study to continue in gone"),
        (["--resume", "gone", "--budget", "paper"], "cannot be combined with --budget"),
    ],
)
def test_what_cannot_be_done_is_one_message(run_study, refused, argv, expected):
    assert expected in refused(run_study, *argv)
