"""One experiment composed of data, federation, evaluation and tracking: ``run_experiment(config, ...) -> Result``."""

from fedray.experiment.engines import ExperimentRun, RoundResult, Run, open_experiment, start_workers
from fedray.experiment.flower import server_app
from fedray.experiment.judging import Evaluation, judging_of
from fedray.experiment.notes import notes
from fedray.experiment.prepare import Prepared, prepare_judge
from fedray.experiment.run import (
    Result,
    run_experiment,
    saved_config,
)
from fedray.experiment.settled import from_store, settled
from fedray.experiment.tracked import KIND, PICTURES, describe, ended, log_model, log_round, log_start, open_run

__all__ = [
    "KIND",
    "PICTURES",
    "Evaluation",
    "ExperimentRun",
    "Prepared",
    "Result",
    "RoundResult",
    "Run",
    "describe",
    "ended",
    "from_store",
    "judging_of",
    "log_model",
    "log_round",
    "log_start",
    "notes",
    "open_experiment",
    "open_run",
    "prepare_judge",
    "run_experiment",
    "saved_config",
    "server_app",
    "settled",
    "start_workers",
]
