"""The search spaces that come with FedRay, and the job that runs them by name."""

from pathlib import Path

import pytest
import yaml

from fedray.config import ConfigError, DataConfig
from fedray.data import open_store
from fedray.sweep import load_space
from fedray.sweep.space import find_space

SPACES = Path(__file__).parents[2] / "search_spaces"
NAMES = sorted(path.stem for path in SPACES.glob("*.yaml"))


def test_there_is_one_for_each_family():
    assert set(NAMES) >= {"wgan_gp", "acgan", "cgan", "cgan_hinge", "md_gan", "projected"}


@pytest.mark.parametrize("name", NAMES)
def test_every_start_point_is_a_valid_experiment(name):
    space = load_space(find_space(Path(name), SPACES))
    assert space.start_points
    for point in space.start_points:
        config = space.trial_config(point)
        assert config == config.resolved()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fedssg"])
def test_a_dry_run_prints_the_space_and_the_plan(name, sweep_gan, no_new_ray):
    done = sweep_gan("--space", name, "--dry-run")
    assert (done.status, done.errors) == (0, "")
    assert yaml.safe_load(done.output)["name"].replace("-", "_") == name
    assert "trials at a time" in done.output


def test_the_one_that_hands_out_tiles_asks_for_them(sweep_gan, refused, no_new_ray):
    assert "there is no 'synthetic' (jobs/generate_tiles.py makes one)" in refused(sweep_gan, "--space", "fedssg")
    tiles = open_store(DataConfig(tile_size=32, num_domains=3)).path  # as good as any
    done = sweep_gan("--space", "fedssg", "--classification.synthetic", tiles, "--dry-run")
    assert done.status == 0 and "trials at a time" in done.output, done


def test_an_unknown_name_lists_those_that_are_there(sweep_gan, refused):
    message = refused(sweep_gan, "--space", "cgan_hing")
    shipped = ", ".join(sorted(path.stem for path in SPACES.glob("*.yaml")))
    assert f"one of {shipped}, but got 'cgan_hing'; did you mean 'cgan_hinge'?" in message


def test_a_file_is_taken_as_it_is(tmp_path):
    assert find_space(tmp_path / "mine.yaml", SPACES) == tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match="must be a file or one of"):
        find_space(Path("mine"), SPACES)
