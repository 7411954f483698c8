"""What a job leaves, made in a second: a federation in this process, by the functions that jobs call."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fedray.config import ExperimentConfig
from fedray.data import local_store
from fedray.experiment.settled import settled
from fedray.experiment.tracked import open_run
from fedray.federation import save_round, shared_arrays
from fedray.results.basis import basis_of
from fedray.results.files import RESULTS
from fedray.results.finished import log_ending
from fedray.results.folder import EXPERIMENT, finish, open_folder
from fedray.results.place import Place
from fedray.tracking import Tracker
from tests.support.federation import run as federated

SCORES = {"fid/efficientnet-lite0/256": 3.5, "c2st-low/texture/256": 0.25}
FLOOR = {"fid/efficientnet-lite0/256": 1.5}


@dataclass(frozen=True)
class Left:
    """What a run left, and what it was."""

    folder: Path
    uri: str
    run_id: str
    config: ExperimentConfig
    arrays: dict[str, Any]
    history: pd.DataFrame


def leave(config: ExperimentConfig, folder: Path, uri: str) -> Left:
    """Leave what a finished job leaves; nothing is scored, its scores are made up."""
    config = settled(config)
    store, out = local_store(config.data), Place(folder)
    key = open_folder(out, EXPERIMENT, config, basis_of(config, store))
    state, reports, grid = federated(config)
    save_round(folder / "checkpoint", state, {node: context.state for node, context in grid.contexts.items()})
    rows = [{"round": report.round_index, **SCORES, "loss/x": report.round_index / 2} for report in reports]
    pd.DataFrame(rows).to_parquet(folder / RESULTS)
    run = open_run(Tracker(uri, "fedray"), config, store, key=key)
    for row in rows:
        run.log_round(row["round"], {name: value for name, value in row.items() if name != "round"})
    arrays = shared_arrays(state)
    log_ending(run, config, arrays, store, state.round_index, SCORES, FLOOR)
    run.finish("FINISHED")
    finish(out, {"scores": SCORES, "floor": FLOOR, "run_id": run.run_id})
    return Left(folder, uri, run.run_id, config, arrays, pd.DataFrame(rows))
