"""An experiment, a sweep and what they left, from Python: python docs/examples/from_python.py [FOLDER].

On the embedded store, sized to end in a minute or two: the tiles are noise still. docs/python.md explains it.
"""

import sys
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from fedray.config import ExperimentConfig, override
from fedray.experiment import Result, run_experiment
from fedray.randomness import torch_stream
from fedray.sweep import SearchSpace, SweepResult, export_study, open_study, run_sweep

SMALL = {
    "data.store": "colon",
    "data.tile_size": 16,
    "gan.generator_channels": 8,
    "gan.discriminator_channels": 8,
    "federation.num_clients": 2,
    "federation.num_rounds": 2,
    "federation.local_steps": 4,
    "evaluation.num_samples": 32,
}


def experiment(folder: Path) -> Result:
    """Run one experiment; what is not said has its default. Run again, it is read from its folder."""
    config = override(ExperimentConfig(), SMALL, source="this script")
    result = run_experiment(
        config,
        out=folder / "experiment",
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        on_round=lambda round_: print(f"round {round_.report.round_index}: {round_.report.duration_s:.1f} s"),
    )
    print(result.history[["round", "kid/efficientnet-lite0/32"]])
    return result


def tiles(result: Result) -> np.ndarray:
    """Make ten tiles of the first label, uint8 [10, 16, 16, 3]; the same seed and names make the same ones."""
    return result.generator().sample(np.zeros(10, np.int64), torch_stream(0, "mine"))


def sweep(folder: Path) -> SweepResult:
    """Search two values over whole experiments: the search space of a YAML file, as a dictionary."""
    space = SearchSpace.model_validate(
        {
            "name": "from-python",
            "fixed": override(ExperimentConfig(), SMALL, source="this script"),
            "search": {
                "gan.n_critic": {"type": "int", "low": 1, "high": 2},
                "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            },
            "goal": {"metric": "kid/efficientnet-lite0"},
            "num_trials": 3,
            "max_concurrent": 1,
        }
    )
    result = run_sweep(space, out=folder / "sweep", tracking_uri=f"sqlite:///{folder}/mlflow.db")
    print(result.trials[["trial", "outcome", "score", *space.search]])
    print(result.best_config.gan.generator_lr, result.floor)
    return result


def read(folder: Path) -> optuna.Study:
    """Read what the sweep left: a table, and Optuna's study."""
    trials = pd.read_parquet(folder / "sweep" / "results.parquet")  # a row a trial, best first
    print(trials[["trial", "outcome", "rounds", "score", "seconds", "run_id"]])
    study = open_study(folder / "sweep")
    for trial in study.trials:
        print(trial.number, trial.state.name, trial.params, trial.intermediate_values)
    export_study(study, folder / "study.db", "from-python")  # optuna-dashboard sqlite:///study.db
    return study


def main(folder: Path) -> None:
    """Do all of it in a folder."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    result = experiment(folder)
    print(f"ten tiles: {tiles(result).shape}")
    best = sweep(folder).best
    print(f"best of the sweep: {best['score']:.4g}, of the study: {read(folder).best_value:.4g}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/from-python"))
