"""Trials that go on after the search: as if nobody had stopped them, and judged with other noise."""

from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from fedray.cli.trials import print_trials
from fedray.config import ConfigError, validate
from fedray.experiment import open_experiment, prepare_judge
from fedray.federation import DivergedError, latest_round, load_server, shared_arrays
from fedray.results import Place
from fedray.results.kept import trial_arrays
from fedray.sweep import SearchSpace, promotion
from fedray.sweep.begun import BegunSweep
from fedray.sweep.check import settle
from fedray.sweep.counted import CountedRound
from fedray.sweep.promoted import Promoted, as_searched, with_promotions
from fedray.sweep.promotion import noise_seed, promote_trials, promoted_round
from fedray.sweep.results import SweepResult
from fedray.tracking import Tracker
from tests.support.federation import assert_close
from tests.support.spaces import METRIC, small_space

VALUES = {"gan.n_critic": 2, "gan.generator_lr": 1e-3, "gan.discriminator_lr": 1e-3}
ROUNDS, BEST, MORE = 2, 1, 2
"""Of the search, its best, and more of the promotion."""


class StoppedError(Exception):
    """Stands for whatever ends a process between two rounds."""


@pytest.fixture(scope="module")
def space(small_store):
    return settle(small_space(small_store, num_rounds=ROUNDS, promote={"top": 1, "rounds": MORE}))


@pytest.fixture(scope="module")
def whole(space, workers, tmp_path_factory):
    """A trial that nobody stopped after the search: its arrays, scores, and scores with other noise, by round.

    The first two rounds leave what a search does, in which the second was worse than the first.
    """
    folder, (_, prepared) = tmp_path_factory.mktemp("searched"), prepare_judge(space.fixed)
    config = space.trial_config({**VALUES, "federation.num_rounds": BEST + MORE})
    counted, rounds = CountedRound(space, folder / "scratch"), {}
    with open_experiment(config, workers.resources, prepared, pool=workers) as run:
        while not run.done:
            evaluation = run.step().evaluation
            if run.state.round_index <= ROUNDS:
                worse = {name: 1e9 for name in evaluation.scores} if run.state.round_index == ROUNDS else {}
                counted.see(run, replace(evaluation, scores=evaluation.scores | worse))
                counted.save(run, folder / f"checkpoint_{run.state.round_index}")
            other = run.evaluate(noise_seed(config)).scores
            rounds[run.state.round_index] = (shared_arrays(run.state), evaluation.scores[METRIC], other)
    return rounds, prepared, folder / f"checkpoint_{ROUNDS}"


@pytest.fixture(scope="module")
def database(new_database, tmp_path_factory):
    return new_database(tmp_path_factory.mktemp("promotion"))


@pytest.fixture
def sweep(space, small_store, whole, database, tmp_path):
    tracker = Tracker(database, "fedray")
    parent = tracker.start_run("sweep", params={})
    out = Place(tmp_path / "out")
    yield BegunSweep(space, small_store, None, out, None, whole[1], tracker, parent, {"fedray.sweep": "small"})
    parent.finish("FINISHED")


@pytest.fixture
def trials(whole):
    row = {"trial": "a", "number": 0, "outcome": "complete", "rounds": ROUNDS, "score": whole[0][BEST][1]}
    row |= {"scored_round": BEST, "start_point": False, **VALUES, "seconds": 1.0}
    worse = row | {"trial": "b", "number": 1, "score": 1e6}
    pruned = row | {"trial": "c", "number": 2, "outcome": "pruned", "score": 1.0}
    return pd.DataFrame([row, worse, pruned])


@pytest.fixture
def searched(whole):
    @contextmanager
    def opened(trial):
        assert trial == "a", "the best alone"
        yield whole[2]

    return opened


def check_same(found, whole):
    """Compare with the trial that nobody stopped."""
    rounds, last = whole[0], BEST + MORE
    scores = {number: rounds[number][1] for number in range(BEST, last + 1)}
    best = min(scores, key=scores.get)
    assert (found.trial, found.begun_at, found.rounds, found.scored_round) == ("a", BEST, last, best)
    assert found.chosen_score == pytest.approx(scores[best], rel=1e-4)
    assert found.scores == pytest.approx(rounds[best][2], rel=1e-4)
    assert found.scores[METRIC] != pytest.approx(found.chosen_score, rel=1e-6), "its noise is another"


def test_it_goes_on_from_its_best_round_as_if_nobody_had_stopped_it(sweep, trials, searched, whole, workers):
    [found] = promote_trials(sweep, trials, searched, workers)
    check_same(found, whole)
    folder, preview = promoted_round(sweep, "a")
    arrays, round_index = load_server(latest_round(folder))
    assert round_index == found.scored_round
    assert_close(arrays, whole[0][round_index][0])
    assert preview.shape == (2, 8, 16, 16, 3)
    newest = latest_round(sweep.out.folder / "promoted" / "a" / "checkpoint" / "federation")
    assert_close(load_server(newest)[0], whole[0][BEST + MORE][0])

    client = MlflowClient(sweep.tracker.uri)
    [run] = client.search_runs([sweep.tracker.experiment_id], f"tags.`mlflow.parentRunId` = '{sweep.parent.run_id}'")
    assert run.info.status == "FINISHED" and run.data.tags["fedray.key"] == "a"
    assert run.data.tags["fedray.promoted"] == f"from round {BEST} to {BEST + MORE}"
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, METRIC)]
    assert steps == list(range(BEST + 1, BEST + MORE + 1))
    assert run.data.metrics[f"promoted/{METRIC}"] == found.scores[METRIC]

    table = with_promotions(sweep.space, trials, [found])
    best = table.iloc[0]
    assert table["trial"].tolist() == ["a", "b", "c"] and table["promoted_rounds"].tolist() == [MORE, 0, 0]
    assert (best["score"], best["search_score"]) == (found.scores[METRIC], trials["score"][0])
    assert (best["rounds"], best["scored_round"]) == (BEST + MORE, found.scored_round)
    assert best["seconds"] == 1.0 and best["promotion-seconds"] > 0 and best["promotion-generator-steps"] > 0
    assert best["kid/efficientnet-lite0/16"] == found.scores["kid/efficientnet-lite0/16"]
    arrays_again, round_again = trial_arrays(sweep.out, best)
    assert round_again == round_index and all((arrays_again[name] == arrays[name]).all() for name in arrays)
    assert SweepResult(sweep.space, table, sweep.out.folder).best_config.federation.num_rounds == round_index


@pytest.mark.parametrize("place", ["log_round", "whole_folder", "write_preview"])
def test_killed_anywhere_it_comes_to_the_same_end(sweep, trials, searched, whole, workers, monkeypatch, place):
    """Before a round is tracked, over its checkpoint, and before the last word; each time that it comes there."""
    kept, calls, kills = getattr(promotion, place), 0, 0

    def killed(*arguments):
        nonlocal calls
        calls += 1
        if calls % 2 == 1:
            raise StoppedError
        return kept(*arguments)

    monkeypatch.setattr(promotion, place, killed)
    while True:
        try:
            [found] = promote_trials(sweep, trials, searched, workers)
            break
        except StoppedError:
            kills += 1
    assert kills >= 1
    check_same(found, whole)

    def asked(trial):
        raise AssertionError(f"{trial} has gone on before")

    assert promote_trials(sweep, trials, asked) == [found]


def test_one_that_diverges_keeps_its_best_round(sweep, trials, searched, whole, workers, monkeypatch):
    @contextmanager
    def opened(*arguments):
        def step():
            raise DivergedError("round 2: a loss is nan")

        with open_experiment(*arguments) as run:
            monkeypatch.setattr(run, "step", step)
            yield run

    monkeypatch.setattr(promotion, "open_experiment", opened)
    [found] = promote_trials(sweep, trials, searched, workers)
    assert (found.rounds, found.scored_round, found.diverged) == (BEST, BEST, "round 2: a loss is nan")
    assert found.scores == pytest.approx(whole[0][BEST][2], rel=1e-4)


def test_a_space_without_promotion_promotes_none(sweep, trials):
    plain = sweep.space.model_copy(update={"promote": None})
    assert promote_trials(replace(sweep, space=plain), trials, None) == []
    assert with_promotions(plain, trials, []) is trials


def test_the_table_says_where_they_went_on_and_that_their_score_is_a_new_one(space, tmp_path):
    row = {"trial": "a", "number": 0, "outcome": "complete", "rounds": 2, "score": 60.25, "scored_round": 1}
    row |= {"start_point": False, **VALUES, "seconds": 1.0}
    trials = pd.DataFrame([row, row | {"trial": "b", "score": 70.0}, row | {"trial": "c", "outcome": "pruned"}])
    first = Promoted("a", 1, 41, 33, 41.25, {METRIC: 43.5}, {"seconds": 9.0})
    second = Promoted("b", 1, 5, 1, 7.0, {METRIC: 42.0}, {}, "round 6: a loss is nan")
    table = with_promotions(space, trials, [first, second])
    assert table["trial"].tolist() == ["b", "a", "c"], "promoted ones first, by their new score"
    table = with_promotions(space, trials, [first])
    assert table["seconds"].tolist() == [1.0] * 3 and table["promotion-seconds"].dropna().tolist() == [9.0]
    before = as_searched(space, table).set_index("trial")
    assert before["score"].to_dict() == {"a": 60.25, "b": 70.0, "c": 60.25}
    assert before["rounds"].tolist() == [2, 2, 2]
    console = Console(width=400, record=True)
    print_trials(console, SweepResult(space, with_promotions(space, trials, [first, second]), tmp_path))
    text = console.export_text()
    assert [line.split()[:4] for line in text.splitlines() if line[:2] == "a "] == [["a", "promoted", "33/41", "43.5"]]
    assert "Promoted: trial a (60.25 in the search) went on from round 1 to 41. Round 33 is chosen for 41.25" in text
    assert "and scores 43.5 with other noise." in text
    assert "Its training diverged there: round 6: a loss is nan" in text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"promote": {"top": 6, "rounds": 1}}, r"promote\.top must be <= num_trials \(5\), but got 6"),
        ({"promote": {"rounds": 0}}, r"promote\.rounds: input should be greater than or equal to 1, but got 0"),
        ({"promote": {}}, r"promote\.rounds: must be given"),
        ({"promote": {"round": 3, "rounds": 1}}, r"promote\.round: there is no such key"),
    ],
)
def test_what_cannot_be_promoted_is_refused(space, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        validate(SearchSpace, space.model_dump() | changes, source="test")


def test_trials_that_their_patience_ends_are_not_promoted(space):
    changes = {
        "fixed": {"task": "classification", "classification": {"patience": 2}},
        "search": {"classification.dropout": {"type": "choice", "values": [0.1]}},
        "start_points": [],
    }
    with pytest.raises(ConfigError, match=r"promote cannot go on with trials that fixed\.classification\.patience"):
        validate(SearchSpace, space.model_dump() | changes, source="test")
