"""One experiment composed of data, federation, evaluation and tracking: ``run_experiment(config, ...) -> Result``."""

from fedray.experiment.cluster import (
    ClusterSize,
    NodeSize,
    ResourceError,
    cluster_name,
    cluster_size,
    connect,
    plan_workers,
)
from fedray.experiment.evaluate import Evaluation, evaluate_generator
from fedray.experiment.flower import server_app
from fedray.experiment.notes import notes
from fedray.experiment.pictures import save_samples
from fedray.experiment.place import Place, new_place, results_root, resumable
from fedray.experiment.prepare import Prepared, prepare_evaluation
from fedray.experiment.report import print_scores
from fedray.experiment.rounds import ExperimentRun, RoundResult, generator_arrays
from fedray.experiment.run import (
    EVALUATION_TIMEOUT_S,
    Result,
    make_grid,
    run_experiment,
    saved_config,
    start_workers,
)
from fedray.experiment.settled import from_store, settled
from fedray.experiment.tracked import KIND, PICTURES, describe, ended, log_generator, log_round, log_start, open_run

__all__ = [
    "EVALUATION_TIMEOUT_S",
    "KIND",
    "PICTURES",
    "ClusterSize",
    "Evaluation",
    "ExperimentRun",
    "NodeSize",
    "Place",
    "Prepared",
    "ResourceError",
    "Result",
    "RoundResult",
    "cluster_name",
    "cluster_size",
    "connect",
    "describe",
    "ended",
    "evaluate_generator",
    "from_store",
    "generator_arrays",
    "log_generator",
    "log_round",
    "log_start",
    "make_grid",
    "new_place",
    "notes",
    "open_run",
    "plan_workers",
    "prepare_evaluation",
    "print_scores",
    "results_root",
    "resumable",
    "run_experiment",
    "save_samples",
    "saved_config",
    "server_app",
    "settled",
    "start_workers",
]
