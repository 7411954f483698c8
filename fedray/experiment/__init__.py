"""One experiment composed of data, federation, evaluation and tracking: ``run_experiment(config, ...) -> Result``."""

from fedray.experiment.flower import server_app
from fedray.experiment.judging import Evaluation, judging_of
from fedray.experiment.notes import notes
from fedray.experiment.prepare import Prepared, prepare_judge
from fedray.experiment.rounds import ExperimentRun, RoundResult
from fedray.experiment.run import (
    EVALUATION_TIMEOUT_S,
    Result,
    make_grid,
    run_experiment,
    saved_config,
    start_workers,
)
from fedray.experiment.settled import from_store, settled
from fedray.experiment.tracked import KIND, PICTURES, describe, ended, log_model, log_round, log_start, open_run

__all__ = [
    "EVALUATION_TIMEOUT_S",
    "KIND",
    "PICTURES",
    "Evaluation",
    "ExperimentRun",
    "Prepared",
    "Result",
    "RoundResult",
    "describe",
    "ended",
    "from_store",
    "judging_of",
    "log_model",
    "log_round",
    "log_start",
    "make_grid",
    "notes",
    "open_run",
    "prepare_judge",
    "run_experiment",
    "saved_config",
    "server_app",
    "settled",
    "start_workers",
]
