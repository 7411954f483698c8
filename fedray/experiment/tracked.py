"""What an experiment writes into its MLflow run: before, in and after its rounds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from fedray.config import ExperimentConfig
from fedray.data import TileStore, draw_partition
from fedray.experiment.rounds import RoundResult, tile_sheet
from fedray.federation import client_partition, fresh_gan
from fedray.models import Arrays, LabelledGenerator, check_finite
from fedray.tracking import TrackedRun, Tracker, code_version_tags


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
    run = tracker.start_run(
        name or default_run_name(config, store),
        parent_run_id=parent_run_id,
        key=key,
        params={},
        tags={**describe(config, store), **(tags or {})},
    )
    run.log_config(config)
    run.log_dataset(store)
    run.log_figure(draw_partition(store, client_partition(config)), "partition.png")
    return run


@contextmanager
def ended(run: TrackedRun) -> Iterator[TrackedRun]:
    """End a run with the status that its block deserves: FINISHED, KILLED by Ctrl-C or SIGTERM, FAILED otherwise."""
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.finish("KILLED")
        raise
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish("FINISHED")


def default_run_name(config: ExperimentConfig, store: TileStore) -> str:
    """Name a run by its objective, data set and seed."""
    return config.tracking.run_name or f"{config.gan.objective} {store.name} seed {config.seed}"


def describe(config: ExperimentConfig, store: TileStore) -> Mapping[str, str]:
    """Tags to filter and group runs by."""
    return {
        "fedray.dataset": store.name,
        "fedray.dataset-fingerprint": store.fingerprint,
        "fedray.objective": config.gan.objective,
        "fedray.partition": config.partition.scheme,
        "fedray.mode": config.federation.mode,
        "fedray.tiles-unused": str(client_partition(config).unused),
        **code_version_tags(),
    }


def log_round(run: TrackedRun, result: RoundResult) -> None:
    """Log one round: its figures at the round's step, and its preview."""
    run.log_round(result.report.round_index, result.metrics)
    if result.evaluation is not None:
        run.log_image(tile_sheet(result.evaluation.preview), "samples", result.report.round_index)


def log_generator(run: TrackedRun, config: ExperimentConfig, arrays: Arrays) -> str:
    """Log the averaged generator as a model that ``mlflow.pytorch.load_model`` brings back.

    Args:
        run: Where to.
        config: Of the experiment.
        arrays: At least ``generator_ema.*``.

    Returns:
        The model's URI.

    Raises:
        DivergedError: An array is not finite: such a model is not logged.
    """
    check_finite(arrays, "the generator to be logged")
    gan = fresh_gan(config, "cpu", load_weights=False)
    gan.load(arrays)
    inputs = [torch.zeros(2, config.gan.latent_dim), torch.zeros(2, dtype=torch.int64)]
    if gan.shape.num_domains > 1:
        inputs.append(torch.zeros(2, dtype=torch.int64))
    return run.log_generator(LabelledGenerator(gan.generator_ema), tuple(inputs))
