import pytest

from fedray.config import ConfigError
from fedray.experiment import Place
from fedray.sweep.run import check_sweep, settle
from tests.sweep.spaces import METRIC, small_space


def space_in(store, path=None, metric="fid/domain-cnn"):
    space = small_space(store, goal={"metric": metric})
    data = space.fixed.data.model_copy(update={"store": str(path or store.path)})
    return space.model_copy(update={"fixed": space.fixed.model_copy(update={"data": data})})


def test_a_goal_without_a_number_gets_the_number_really_compared(small_store):
    assert settle(space_in(small_store)).goal.metric == METRIC


@pytest.mark.parametrize("metric", [METRIC, "kid/domain-cnn/16/label/dark", "fid/inception"])
def test_any_other_goal_stays_and_is_checked_as_it_is(small_store, metric):
    assert settle(space_in(small_store, metric=metric)).goal.metric == metric


def test_a_goal_that_no_evaluation_yields_is_refused_with_those_that_it_does(small_store, tmp_path):
    space = settle(space_in(small_store, metric="fid/inception"))
    with pytest.raises(ConfigError, match=r"goal\.metric must be one of fid/domain-cnn/16, kid/domain-cnn/16"):
        check_sweep(space, Place.at(tmp_path / "out"))


def test_a_relative_store_path_becomes_absolute_for_trials_run_elsewhere(small_store, monkeypatch):
    monkeypatch.chdir(small_store.path.parent)
    assert settle(space_in(small_store, small_store.path.name)).fixed.data.store == str(small_store.path)


def test_settling_twice_changes_nothing(small_store):
    once = settle(space_in(small_store))
    assert settle(once) == once
