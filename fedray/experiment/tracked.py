"""What an experiment writes into its MLflow run: before, in and after its rounds."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fedray.config import ExperimentConfig, flatten
from fedray.data import KnownTiles, TileStore, client_partition, draw_partition, store_shape, stores_beside
from fedray.evaluation import Scores
from fedray.experiment.engines import RoundResult
from fedray.learning import Arrays
from fedray.results.finished import log_ending
from fedray.results.pictures import BESIDE_OTHERS, WHOLE, Preview, draw_preview, drawing, save_samples
from fedray.storage import scratch_folder
from fedray.tasks import judged_arrays, task_of
from fedray.tracking import Status, TrackedRun, Tracker, TrackingError, code_version_tags

_logger = logging.getLogger(__name__)

PICTURES = "samples"
"""Key of the pictures of the rounds."""

KIND = "fedray.kind"
"""Tag that tells runs apart: ``experiment``, ``sweep``, ``trial``."""
ABILITY = "fedray.ability"
"""Tag with what is judged: runs that have it in common have scores in common."""

_DISTINGUISHING = {"partition", "federation", "privacy"}
_MAX_DISTINCTIONS = 6  # in a run's name


def open_run(
    tracker: Tracker,
    config: ExperimentConfig,
    store: TileStore,
    *,
    key: str,
    parent_run_id: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> TrackedRun:
    """Start (or, for a known key, continue) the run of an experiment and describe it.

    Args:
        tracker: Where to.
        config: Resolved configuration: logged as parameters by config path, and as YAML.
        store: The tiles.
        key: Identifies the experiment over restarts.
        parent_run_id: Of the sweep that it belongs to.
        name: Of the run; unset: from the configuration.
        tags: More tags than those that describe the experiment.
    """
    run = open_plain_run(tracker, config, store, key=key, parent_run_id=parent_run_id, name=name, tags=tags)
    run.log_figure(draw_partition(store, client_partition(config)), "partition.png")
    return run


def open_plain_run(
    tracker: Tracker,
    config: ExperimentConfig,
    store: TileStore,
    *,
    key: str,
    parent_run_id: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> TrackedRun:
    """Do as :func:`open_run`, without a picture: with hundreds of runs they take longer than small trainings."""
    kind = {KIND: "trial" if parent_run_id else "experiment"}
    run = tracker.start_run(
        name or default_run_name(config, store),
        parent_run_id=parent_run_id,
        key=key,
        params={},
        tags={**describe(config, store), **kind, **(tags or {})},
    )
    run.log_config(config)
    for each in (store, *stores_beside(config)):
        run.log_dataset(each)
    return run


@contextmanager
def ended(run: TrackedRun) -> Iterator[TrackedRun]:
    """End a run with the status that its block deserves: FINISHED, KILLED by Ctrl-C or SIGTERM, FAILED otherwise."""
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        _finish_after(run, "KILLED")
        raise
    except BaseException:
        _finish_after(run, "FAILED")
        raise
    run.finish("FINISHED")


def _finish_after(run: TrackedRun, status: Status) -> None:
    """End a run that something else has ended: what MLflow did not take must not hide that."""
    try:
        run.finish(status)
    except TrackingError as error:
        _logger.warning("%s", error)


def default_run_name(config: ExperimentConfig, store: KnownTiles) -> str:
    """Name a run by its objective or network, data set, what it does otherwise than by default, and seed."""
    begun = ["pre-trained"] if config.starts_from else []
    parts = [f"{config.family.subject} {store.name}", *begun, *_distinctions(config), f"seed {config.seed}"]
    return config.tracking.run_name or ", ".join(parts)


def describe(config: ExperimentConfig, store: TileStore) -> Mapping[str, str]:
    """Tags to filter and group runs by."""
    return {
        "fedray.dataset": store.name,
        "fedray.dataset-fingerprint": store.fingerprint,
        "fedray.task": config.task,
        ABILITY: task_of(config).ABILITY,
        f"fedray.{config.family.TELLING[0]}": config.family.subject,
        "fedray.partition": config.partition.scheme,
        "fedray.mode": config.federation.mode,
        "fedray.tiles-unused": str(client_partition(config).unused),
        **code_version_tags(),
    }


def log_start(run: TrackedRun, store: TileStore, preview: Preview | None) -> None:
    """Log what is shown before the first round, as the picture of step 0; nothing where nothing is."""
    if preview is not None:
        _log_picture(run, store, preview, "round 0, before training", 0)


def log_round(run: TrackedRun, store: TileStore, result: RoundResult) -> None:
    """Log one round: its figures at the round's step, and its picture."""
    round_index = result.report.round_index
    run.log_round(round_index, result.metrics)
    if result.evaluation is not None:
        _log_picture(run, store, result.evaluation.preview, f"round {round_index}", round_index)


def _log_picture(run: TrackedRun, store: TileStore, preview: Preview, title: str, step: int) -> None:
    draw = drawing(run.real_tiles)
    whole, small = (draw_preview(store, preview, title, bounds, draw) for bounds in (WHOLE, BESIDE_OTHERS))
    run.log_image(whole, PICTURES, step, beside_others=small)


def keep_picture(run: TrackedRun, path: Path, store: TileStore, preview: Preview, title: str) -> None:
    """Keep the last picture in the results, with real tiles, and log it, with what the run may show."""
    save_samples(path, store, preview, title)
    with scratch_folder() as scratch:
        save_samples(scratch / path.name, store, preview, title, drawing(run.real_tiles))
        run.log_artifact(scratch / path.name)


def log_model(
    run: TrackedRun,
    config: ExperimentConfig,
    arrays: Arrays,
    store: KnownTiles,
    round_index: int,
    scores: Scores,
    floor: Scores,
) -> str | None:
    """Log what was trained as a model that ``mlflow.pytorch.load_model`` brings back; not what stays with the clients.

    And all the arrays, for :class:`fedray.results.finished.Finished`.

    Args:
        run: Where to.
        config: Of the experiment.
        arrays: At least those that it is judged by.
        store: The tiles that it learned from: the model says which labels and domains its numbers count.
        round_index: The round that it is of.
        scores: Its own, by which it is found.
        floor: What stands beside them; empty where that is not known.

    Returns:
        The model's URI; None where the server has none.

    Raises:
        DivergedError: An array is not finite: such a model is not logged.
    """
    log_ending(run, config, arrays, store, round_index, scores, floor)
    if not (judged := judged_arrays(config, arrays)):
        return None
    model = task_of(config).exported(config, store_shape(store), judged)
    metadata = {
        "dataset": store.name,
        "dataset-fingerprint": store.fingerprint,
        "label-names": list(store.label_names),
        "domain-names": list(store.domain_names) if model.takes_domains else [],
        **model.facts,
        "tile-size": store.tile_size,
        "round": round_index,
    }
    return run.log_model(
        model.module, model.inputs, name=model.name, step=round_index, metrics=scores, metadata=metadata
    )


def _distinctions(config: ExperimentConfig) -> list[str]:
    """Say what an experiment does otherwise than its subject's defaults: choices first, then numbers."""
    default = ExperimentConfig(task=config.task).model_copy(update={config.task: config.family.usual()})
    named = _DISTINGUISHING | {config.task}
    ours, usual = (flatten(each.resolved().model_dump(include=named)) for each in (config, default))
    changed = {path.rpartition(".")[2]: value for path, value in ours.items() if value != usual[path]}
    files = {"weights", *config.family.other_stores}
    choices = [value for name, value in changed.items() if isinstance(value, str) and name not in files]
    switches = [name if value else f"no {name}" for name, value in changed.items() if isinstance(value, bool)]
    numbers = [
        f"{name} {value:g}"
        for name, value in changed.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    found = [part.replace("_", " ") for part in (*choices, *switches, *numbers)]
    return found[:_MAX_DISTINCTIONS] + (["..."] if len(found) > _MAX_DISTINCTIONS else [])
