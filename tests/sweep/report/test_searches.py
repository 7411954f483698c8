"""The report of sweeps with conditions, null, several goals, constraints, seeds and no early stopping."""

import pytest

from fedray.results.files import TRIALS
from fedray.sweep import SearchSpace
from fedray.sweep.kept import _read, keep_study
from fedray.sweep.report.figures import Swept, figures_of
from fedray.sweep.report.importance import compared, importances
from fedray.sweep.report.making import _protocol
from fedray.sweep.results import trial_table
from tests.support.quick_trials import sweep_here

FID, COVERAGE = "fid/efficientnet-lite0/16", "coverage/efficientnet-lite0/16"
WHEN = {"gan.penalty": "gradient"}
SEARCH = {
    "gan.penalty": {"type": "choice", "values": ["none", "gradient"]},
    "gan.gradient_penalty": {
        "type": "float",
        "low": 1.0,
        "high": 9.0,
        "step": 2.0,
        "when": {"gan.penalty": "gradient"},
    },
    "gan.clip_norm": {"type": "choice", "values": [None, 1.0]},
    "gan.n_critic": {"type": "int", "low": 1, "high": 5},
}


def scores(values, round_index):
    weight = values.get("gan.gradient_penalty", 0.0)
    clipped = values["gan.clip_norm"] is not None
    return {FID: weight + values["gan.n_critic"] + clipped + 0.1 * values.get("seed", 0), COVERAGE: weight / 10}


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("goals", [[{"metric": FID}], [{"metric": FID}, {"metric": COVERAGE, "mode": "max"}]])
def test_what_a_search_can_be_its_report_can_show(seeds, goals, small_store, tmp_path):
    space = SearchSpace.model_validate(
        {
            "name": "all",
            "fixed": {"federation": {"num_rounds": 2}},
            "search": SEARCH,
            "goals": goals,
            "seeds": seeds,
            "num_trials": 20,
            "early_stopping": "none",
            "constraints": [f"{COVERAGE} >= 0.1"],
        }
    )
    searcher = sweep_here(space, scores)
    table = trial_table(space, searcher)
    keep_study(searcher.runs, {}, tmp_path)
    study = _read(tmp_path / TRIALS)
    for kept, known in zip(study.trials, searcher.runs.trials, strict=True):
        assert (kept.params, kept.values, kept.constraints) == (known.params, known.values, known.constraints)
    importance = importances(compared(study)[0], seed=0, draws=2)
    assert "gan.n_critic" in set(importance["parameter"])
    assert {"slices", "history", "curves"} <= set(figures_of(Swept(space, table, study, importance)))
    assert _protocol(space, small_store)["early stopping"] == "none"
