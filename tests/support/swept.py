"""A finished sweep's folder, made in a second: Optuna's study and FedRay's own early stopping, and made-up scores."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from fedray.data import TileStore
from fedray.results.basis import basis_of
from fedray.results.folder import SWEEP, finish, open_folder
from fedray.results.place import Place
from fedray.sweep.check import settle
from fedray.sweep.kept import keep_study
from fedray.sweep.results import SweepResult, trial_table, with_context, write_results
from fedray.sweep.searcher import COMPLETED, DIVERGED, OptunaSearcher
from fedray.sweep.space import SearchSpace
from tests.support.spaces import METRIC, small_space

PLANTED = "gan.generator_lr"
"""The one value that decides the score; 1e-3 is best."""
FLOOR = {METRIC: 1.5}
SEARCH = {
    "gan.n_critic": {"type": "int", "low": 1, "high": 3},
    PLANTED: {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "gan.augment": {"type": "choice", "values": [True, False]},
}
ROUND_S, ROUNDS = 4.0, 3


def planted_space(store: TileStore, num_trials: int) -> SearchSpace:
    """Return a space in which one value will decide."""
    start = {"gan.n_critic": 1, PLANTED: 5e-3, "gan.augment": True}
    return small_space(store, ROUNDS, search=SEARCH, num_trials=num_trials, start_points=[start])


def score_of(params: dict[str, Any], round_index: int) -> float:
    """Say what a trial scores after a round, the lower the better."""
    return 10.0 + 40.0 * (math.log10(params[PLANTED]) + 3.0) ** 2 - 2.0 * round_index


def searched(space: SearchSpace) -> OptunaSearcher:
    """Tell a searcher what trials score, two of which run at a time; the third one diverges in its first round."""
    searcher, free_at = OptunaSearcher(space), [1000.0, 1000.5]
    for number in range(space.num_trials):
        name, lane = f"trial{number:03d}", number % 2
        params = searcher.suggest(name)
        assert params is not None
        for index in range(1, ROUNDS + 1):
            begun, free_at[lane] = free_at[lane], free_at[lane] + ROUND_S
            result = _told(index, begun, free_at[lane])
            if number == 2:
                searcher.on_trial_complete(name, result | {DIVERGED: "a loss exploded"})
                break
            score = score_of(params, index)
            result |= {METRIC: score, f"scores/{METRIC}": score, COMPLETED: index == ROUNDS}
            searcher.on_trial_result(name, result)
            if not searcher.rungs.goes_on(name, index, score) or index == ROUNDS:
                searcher.on_trial_complete(name, result)
                break
        free_at[lane] += 1.0  # until the next trial begins
    return searcher


def _told(index: int, begun: float, ended: float) -> dict[str, Any]:
    sums = {"seconds": 4.0, "core-seconds": 8.0, "training-seconds": 3.0, "scoring-seconds": 0.5}
    spent = {f"spent/{name}": value * index for name, value in sums.items()}
    return {"training_iteration": index, "begun": begun, "ended": ended, **spent}


def leave_sweep(store: TileStore, folder: Path, num_trials: int = 30) -> tuple[SweepResult, OptunaSearcher]:
    """Leave what a finished sweep does, but for its report."""
    space, out = settle(planted_space(store, num_trials)), Place(folder)
    open_folder(out, SWEEP, space, basis_of(space.fixed, store))
    searcher = searched(space)
    trials = trial_table(space, searcher)
    result = SweepResult(space, with_context(trials, FLOOR, [f"{name:0<32}" for name in trials["trial"]]), folder)
    write_results(result)
    keep_study(searcher.study, dict(zip(result.trials["trial"], result.trials["run_id"], strict=True)), folder)
    for name in trials[trials["outcome"] == "complete"]["trial"]:
        checkpoint = folder / "tune" / name / "checkpoint_000002"
        checkpoint.mkdir(parents=True)
        tiles = np.random.default_rng(0).integers(0, 255, (2, 4, 16, 16, 3), np.uint8)
        np.save(checkpoint / "preview.npy", tiles)
    finish(out, {"pages": {}})
    return result, searcher
