import json
import re

import pandas as pd
import pytest
from safetensors.numpy import save_file

from fedray.config import ConfigError
from fedray.data import store_shape, write_store
from fedray.evaluation import score_names
from fedray.results import Place
from fedray.results.files import RESULTS
from fedray.results.folder import SWEEP, finish, open_folder, outcome_of
from fedray.results.start import opened_start
from fedray.storage import parquet_bytes, write_whole
from fedray.sweep import SearchSpace
from fedray.sweep.check import check_sweep, extend_sweep, finished_sweep, saved_space, settle
from fedray.sweep.dimensions import Choice
from fedray.tasks import task_of
from tests.support.small import random_tiles
from tests.support.spaces import METRIC, small_space


def space_in(store, path=None, metric="fid/efficientnet-lite0", mode="min"):
    space = small_space(store, goal={"metric": metric, "mode": mode})
    data = space.fixed.data.model_copy(update={"store": str(path or store.path)})
    return space.model_copy(update={"fixed": space.fixed.model_copy(update={"data": data})})


def test_a_goal_without_a_number_gets_the_number_really_compared(small_store):
    assert settle(space_in(small_store)).goal.metric == METRIC


@pytest.mark.parametrize("metric", [METRIC, "kid/efficientnet-lite0/16/label/dark", "fid/inception"])
def test_any_other_goal_stays_and_is_checked_as_it_is(small_store, metric):
    assert settle(space_in(small_store, metric=metric)).goal.metric == metric


@pytest.mark.parametrize("label", ["a", "a/16", "b", "Ki67<14%", "[red]"])
def test_a_labels_name_in_a_goal_is_taken_as_it_is_written(tmp_path, label):
    """``b`` is no label, though ``b/16`` is one; and ``a`` is, beside ``a/16``."""
    labels = ["a", "a/16", "b/16", "Ki67<14%", "[red]"]
    tiles = (tile._replace(label=index // 4 % 5) for index, tile in enumerate(random_tiles()))
    store = write_store(tmp_path / "store", tiles, label_names=labels)
    metric = f"kid/efficientnet-lite0/16/label/{label}"
    assert settle(space_in(store, metric=metric)).goal.metric == metric
    assert (metric in score_names(small_space(store).fixed.evaluation, store)) == (label in labels)


def test_a_goal_that_no_evaluation_yields_is_refused_with_those_that_it_does(small_store, tmp_path):
    space = settle(space_in(small_store, metric="fid/inception"))
    with pytest.raises(
        ConfigError, match=r"goal\.metric must be one of fid/efficientnet-lite0/16, kid/efficientnet-lite0/16"
    ):
        check_sweep(space, Place.at(tmp_path / "out"))


def test_a_goal_of_too_few_tiles_is_refused_with_the_number(small_store, tmp_path):
    space = settle(space_in(small_store, metric="coverage/efficientnet-lite0/16/label/dark", mode="max"))
    with pytest.raises(ConfigError, match=r"coverage needs 32 tiles of label 'dark', but 8 are compared; raise"):
        check_sweep(space, Place.at(tmp_path / "out"))


def test_a_domains_score_is_a_goal(tmp_path):
    tiles = (tile._replace(domain=index // 4 % 2) for index, tile in enumerate(random_tiles()))
    store = write_store(tmp_path / "store", tiles, label_names=["dark", "bright"], domain_names=["here", "there/16"])
    metric = "kid/efficientnet-lite0/16/domain/there/16"
    space = settle(space_in(store, metric=metric))
    assert space.goal.metric == metric and check_sweep(space, Place.at(tmp_path / "out")).space.goal == space.goal


GOALS = [
    ("fid/efficientnet-lite0", "min"),
    ("coverage/efficientnet-lite0", "max"),
    ("recall/efficientnet-lite0", "max"),
    ("precision/efficientnet-lite0", "max"),
    ("density/efficientnet-lite0", "max"),
    ("sliced/efficientnet-lite0", "min"),
    ("distance/texture", "min"),
    ("c2st/texture", "min"),
]


@pytest.mark.parametrize(("metric", "mode"), GOALS)
def test_any_score_is_a_goal_in_its_own_direction_alone(small_store, tmp_path, metric, mode):
    space = settle(space_in(small_store, metric=metric, mode=mode))
    assert space.goal.metric == f"{metric}/16"
    assert check_sweep(space, Place.at(tmp_path / "out")).space.goal == space.goal
    other = {"min": "max", "max": "min"}[mode]
    better = {"min": "lower", "max": "higher"}[mode]
    rule = f"goal.mode must be '{mode}' for {metric}/16, of which {better} is better, but got '{other}'"
    with pytest.raises(ConfigError, match=re.escape(rule)):
        check_sweep(space_in(small_store, metric=metric, mode=other), Place.at(tmp_path / "out"))


def test_an_end_of_an_interval_is_no_goal(small_store, tmp_path):
    with pytest.raises(ConfigError, match=r"c2st/texture/16.*such as kid/\S+, but got 'c2st-low/texture/16'") as caught:
        check_sweep(space_in(small_store, metric="c2st-low/texture"), Place.at(tmp_path / "out"))
    assert "c2st-high" not in str(caught.value)


def test_a_relative_store_path_becomes_absolute_for_trials_run_elsewhere(small_store, monkeypatch):
    monkeypatch.chdir(small_store.path.parent)
    assert settle(space_in(small_store, small_store.path.name)).fixed.data.store == str(small_store.path)


def test_what_all_trials_start_from_is_read_once_and_fits_every_value(small_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = space_in(small_store)
    learner = task_of(space.fixed).make(space.fixed, store_shape(small_store), "cpu")
    save_file(learner.arrays(), "own.safetensors", metadata={"labels": json.dumps(list(small_store.label_names))})
    fixed = space.fixed.model_copy(update={"starts_from": "own.safetensors"})
    space = space.model_copy(update={"fixed": fixed})
    reads = []
    monkeypatch.setattr("fedray.sweep.check.opened_start", lambda place: reads.append(place) or opened_start(place))
    checked = check_sweep(space, Place.at(tmp_path / "out"))
    assert checked.space.fixed.starts_from == str(tmp_path / "own.safetensors") == checked.start.place
    assert reads == [checked.start.place], "and for none of the values again"
    wider = {**space.search, "gan.generator_channels": Choice(type="choice", values=(8, 16))}
    refused = r"searches gan\.generator_channels, but at 16 .*: starts_from .*own.safetensors does not go"
    with pytest.raises(ConfigError, match=refused):
        check_sweep(space.model_copy(update={"search": wider}), Place.at(tmp_path / "out"))


def test_settling_twice_changes_nothing(small_store):
    once = settle(space_in(small_store))
    assert settle(once) == once


def test_constraints_get_their_full_names_and_are_checked_like_goals(small_store, tmp_path):
    bounds = ("kid/efficientnet-lite0/label/dark <= 0.5", "coverage/efficientnet-lite0 >= 0.2")
    space = space_in(small_store).model_copy(update={"constraints": bounds})
    full = ("kid/efficientnet-lite0/16/label/dark <= 0.5", "coverage/efficientnet-lite0/16 >= 0.2")
    assert settle(space).constraints == full
    assert check_sweep(space, Place.at(tmp_path / "out")).space.constraints == full
    wrong = ("kid/efficientnet-lite0 >= 0.5", "fid/inception <= 1")
    with pytest.raises(ConfigError) as caught:
        check_sweep(space.model_copy(update={"constraints": wrong}), Place.at(tmp_path / "out"))
    assert "constraints[0] must have <= for kid/efficientnet-lite0/16, of which lower is better, but got >=" in str(
        caught.value
    )
    assert "constraints[1] must be one of fid/efficientnet-lite0/16," in str(caught.value)


def test_every_combination_of_a_grid_that_cannot_run_is_named(small_store, tmp_path):
    small = small_space(small_store)
    choices = {
        "gan.penalty": {"type": "choice", "values": ["none", "r1", "gradient"]},
        "gan.minibatch_stddev": {"type": "choice", "values": [False, True]},
    }
    fixed = small.fixed.model_copy(update={"gan": small.fixed.gan.model_copy(update={"penalty": "none"})})
    grid = SearchSpace.model_validate(
        small.model_dump()
        | {"fixed": fixed.model_dump(), "search": choices, "sampler": "grid", "num_trials": 6, "start_points": []}
    )
    with pytest.raises(ConfigError) as caught:
        check_sweep(grid, Place.at(tmp_path / "out"))
    told = str(caught.value)
    for penalty in ("r1", "gradient"):
        assert f"the combination gan.penalty {penalty}, gan.minibatch_stddev true of small cannot run:" in told
    assert told.count("the combination") == 2


def test_a_finished_sweep_that_is_asked_for_more_trials_is_the_same_one_with_more_to_do(small_store, tmp_path):
    space, out = settle(space_in(small_store)), Place.at(tmp_path / "out")
    more = space.model_copy(update={"num_trials": 9})
    extend_sweep(out, more)
    assert not out.folder.exists(), "there is none to extend"
    key = open_folder(out, SWEEP, space, {})
    finish(out, {})
    write_whole(out.folder / RESULTS, parquet_bytes(pd.DataFrame([{"trial": "a"}])))
    assert finished_sweep(space, out) is not None and finished_sweep(more, out) is None
    assert check_sweep(more, out).space == more
    for other in (more.model_copy(update={"max_concurrent": 1}), space.model_copy(update={"num_trials": 4})):
        with pytest.raises(ConfigError, match="holds another sweep"):
            finished_sweep(other, out)
        extend_sweep(out, other)
        assert saved_space(out) == space
    for _ in range(2):
        extend_sweep(out, more)
        assert saved_space(out) == more and outcome_of(out) is None
        assert open_folder(out, SWEEP, more, {}) == key, "the same run in MLflow"
    with pytest.raises(ConfigError, match="num_trials is 9 there, not 5"):
        check_sweep(space, out)
