"""Trials of another sweep as known points: which are usable, why others are not, and that the sampler knows them."""

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from fedray.config import ConfigError, override
from fedray.results import Place
from fedray.results.basis import EXTRACTOR, START, TILES, basis_of
from fedray.results.finished import ResultsError
from fedray.results.folder import SWEEP, finish, open_folder
from fedray.storage import parquet_bytes
from fedray.sweep.check import check_sweep, settle
from fedray.sweep.dimensions import Choice, FloatRange, IntRange
from fedray.sweep.known import known_trials
from fedray.sweep.results import trial_table
from fedray.sweep.searcher import OptunaSearcher
from tests.support.spaces import METRIC, small_space

ROWS = [
    ("a", "complete", 3, 20.0, 2, 1e-3),
    ("b", "complete", 3, 30.0, 3, 1e-2),
    ("c", "pruned", 1, 90.0, 1, 1e-4),
    ("d", "failed", 0, None, 1, 2e-4),
]
"""Trial, outcome, rounds, score, gan.n_critic, gan.generator_lr."""


@pytest.fixture
def space(small_store):
    return settle(small_space(small_store, start_points=[]))


@pytest.fixture
def basis(space, small_store):
    return {**basis_of(space.fixed, small_store), EXTRACTOR: "aaaa"}


@pytest.fixture
def first(space, basis, tmp_path):
    """A finished sweep; returns its folder."""
    columns = ("trial", "outcome", "rounds", "score", "gan.n_critic", "gan.generator_lr")
    table = pd.DataFrame([dict(zip(columns, row, strict=True)) for row in ROWS])
    # The first was promoted: its point is what it was in the search.
    table = table.assign(**{"gan.discriminator_lr": 1e-3, "scored_round": 1, "search_score": [10.0, None, None, None]})
    out = Place(tmp_path / "first")
    open_folder(out, SWEEP, space, basis)
    (out.folder / "results.parquet").write_bytes(parquet_bytes(table))
    finish(out, {})
    return str(out.folder)


def from_first(space, first, **changes):
    return space.model_copy(update={"start_from": first, **changes})


def test_what_ended_well_is_known_with_the_score_of_the_search(space, basis, first):
    known = known_trials(from_first(space, first), basis)
    found = {trial.user_attrs["known_as"]: trial for trial in known.trials}
    assert {name: (trial.state, trial.value) for name, trial in found.items()} == {
        "a": (TrialState.COMPLETE, 10.0),
        "b": (TrialState.COMPLETE, 30.0),
        "c": (TrialState.PRUNED, None),
    }
    assert found["c"].intermediate_values == {1: 90.0}
    assert found["a"].params == {"gan.n_critic": 2, "gan.generator_lr": 1e-3, "gan.discriminator_lr": 1e-3}
    assert known.words == f"start_from {first}: 3 of its 4 trials are known points (1 not: failed)"
    assert known_trials(space, basis) is None


def test_a_widened_range_takes_all_and_a_narrowed_one_says_which_not(space, basis, first):
    wider = dict(space.search) | {"gan.n_critic": IntRange(type="int", low=1, high=9)}
    known = known_trials(from_first(space, first, search=wider), basis)
    assert len(known.trials) == 3 and {trial.distributions["gan.n_critic"].high for trial in known.trials} == {9}
    assert "; gan.n_critic was 1 to 3 there, and is 1 to 9 here" in known.words
    narrower = dict(space.search) | {"gan.generator_lr": FloatRange(type="float", low=5e-4, high=5e-3, log=True)}
    known = known_trials(from_first(space, first, search=narrower), basis)
    assert [trial.user_attrs["known_as"] for trial in known.trials] == ["a"]
    assert "1 not: gan.generator_lr 0.01 is not in 0.0005 to 0.005" in known.words
    nothing = dict(space.search) | {"gan.n_critic": IntRange(type="int", low=7, high=9)}
    with pytest.raises(ConfigError, match=r"0 of its 4 trials are known points .*gan\.n_critic 2 is not in 7 to 9"):
        known_trials(from_first(space, first, search=nothing), basis)


def test_what_was_fixed_there_or_is_fixed_here_counts_by_its_value(space, basis, first):
    """A path more that is searched has the value that was fixed; one that is fixed must have had its value."""
    more = dict(space.search) | {"gan.batch_size": Choice(type="choice", values=(8, 16))}
    known = known_trials(from_first(space, first, search=more), basis)
    assert {trial.params["gan.batch_size"] for trial in known.trials} == {8}
    assert "; gan.batch_size was fixed there, and is 8, 16 here" in known.words
    fewer = {path: each for path, each in space.search.items() if path != "gan.n_critic"}
    fixed = override(space.fixed, {"gan.n_critic": 3, "seed": 7, "resources.num_workers": 1}, "test")
    known = known_trials(from_first(space, first, search=fewer, fixed=fixed), basis)
    assert [trial.user_attrs["known_as"] for trial in known.trials] == ["b"]
    assert "1 not: gan.n_critic was 2 there, and is 3 here" in known.words
    fixed = override(space.fixed, {"federation.num_rounds": 9}, "test")
    with pytest.raises(ConfigError, match=r"3 not: federation\.num_rounds was 3 there, and is 9 here"):
        known_trials(from_first(space, first, fixed=fixed), basis)


@pytest.mark.parametrize(
    ("changes", "other", "problem"),
    [
        ({"score": "last"}, {}, r"score is 'best' there, and 'last' here"),
        ({"goal": {"metric": f"kid{METRIC[3:]}", "mode": "min"}}, {}, r"goal\.metric is 'fid/.*' there, and 'kid/"),
        ({}, {TILES: "other"}, r"the fingerprint of the tile store was .*, and is other now"),
        ({}, {EXTRACTOR: "bbbb"}, r"the checksum of the extractor's weights was aaaa, and is bbbb now"),
        ({}, {START: "cccc"}, r"there is a checksum of what it starts from on one side alone"),
    ],
)
def test_scores_that_do_not_compare_are_refused(space, basis, first, small_store, changes, other, problem):
    one = settle(small_space(small_store, start_points=[], start_from=first, **changes))
    with pytest.raises(ConfigError, match=f"its scores do not compare with those of small: {problem}.*; start without"):
        known_trials(one, basis | other)


def test_what_is_no_finished_sweep_is_refused(space, basis, first, tmp_path):
    (tmp_path / "first" / "finished.json").unlink()
    with pytest.raises(ResultsError, match=r"is not finished; let its job go on with --resume"):
        known_trials(from_first(space, first), basis)
    with pytest.raises(ResultsError, match=r"there is no results folder"):
        known_trials(from_first(space, str(tmp_path / "nothing")), basis)


def test_the_sampler_knows_them_and_the_table_has_them_not(space, basis, first):
    """As Optuna's own, told of the same trials."""
    one = from_first(space, first)
    searcher = OptunaSearcher(one)
    searcher.learn(known_trials(one, basis).trials)
    by_hand = optuna.create_study(sampler=OptunaSearcher(one).study.sampler)
    by_hand.add_trials(known_trials(one, basis).trials)
    distributions = {path: dimension.distribution() for path, dimension in space.search.items()}
    for name in "xyz":
        values, asked = searcher.suggest(name), by_hand.ask(fixed_distributions=distributions)
        assert values == asked.params
        searcher.on_trial_complete(name, {METRIC: 1.0, "training_iteration": 3, "completed": True})
        by_hand.tell(asked, 1.0)
    assert trial_table(one, searcher)["trial"].tolist() == ["x", "y", "z"]
    assert len(searcher.study.trials) == 6


def test_it_is_checked_and_told_before_anything_starts(space, first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked = check_sweep(space.model_copy(update={"start_from": "first"}), Place(tmp_path / "out"))
    assert checked.space.start_from == first and len(checked.known.trials) == 3
