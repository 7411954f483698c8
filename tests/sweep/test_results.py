"""The table of a sweep."""

import numpy as np
import pandas as pd
from rich.console import Console

from fedray.config import override
from fedray.experiment.ledger import Ledger
from fedray.federation import Releases, epsilon_of
from fedray.sweep.results import SweepResult, print_trials, with_epsilon
from tests.sweep.spaces import small_space


def printed(*arguments):
    console = Console(width=100, record=True)
    print_trials(console, *arguments)
    return " ".join(console.export_text().split())


def test_epsilon_of_each_trial_and_of_all_together_stands_in_the_final_table(small_store, tmp_path):
    space = small_space(small_store)
    trials = pd.DataFrame(
        {"trial": ["a", "b", "c"], "number": [0, 1, 2], "outcome": ["complete", "pruned", "failed"],
         "rounds": [4, 1, 0], "score": [2.0, 3.0, np.nan], "start_point": False, **dict.fromkeys(space.search, 1)}
    )  # fmt: skip
    assert "epsilon" not in printed(SweepResult(space, trials, tmp_path))
    ledger, fixed = Ledger(str(tmp_path)), override(space.fixed, {"privacy.delta": 1e-3}, "test")
    for trial, releases in {"a": 4, "b": 2, "forgotten": 1}.items():
        account = ledger.account(trial)
        for _ in range(releases):
            account.count(1.0)
    space = space.model_copy(update={"fixed": fixed})
    trials = with_epsilon(trials, space, ledger)
    each = [epsilon_of([Releases({1.0: number})], 1e-3) for number in (4, 2)]
    assert trials["epsilon"].tolist() == [*each, 0.0]
    together = ledger.epsilon(1e-3)
    assert together == epsilon_of([Releases({1.0: 7})], 1e-3)
    told = printed(SweepResult(space, trials, tmp_path), together)
    assert all(f"{epsilon:.3g}" in told for epsilon in each)
    assert f"by all trials together, failed and stopped ones too: epsilon {together:.4g} at delta 0.001" in told
