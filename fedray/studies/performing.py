"""One step of a study: an experiment on warm workers, synthetic tiles of its generator, or the reports on them."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from fedray.config import DataConfig, ExperimentConfig
from fedray.data import TileStore, local_store
from fedray.evaluation import Evaluator, Scores
from fedray.experiment import KIND, Prepared, run_experiment, start_workers
from fedray.experiment.judged import about, judge_all, of_run, real_tiles, write_judgements
from fedray.experiment.prepare import install_evaluation
from fedray.experiment.telling import Membership
from fedray.learning import training_device
from fedray.results import Place
from fedray.results.finished import Finished
from fedray.results.folder import outcome_of
from fedray.results.generating import cells_wanted, generated, origin_of, write_synthetic_store
from fedray.simulation import WorkerPool, WorkerResources
from fedray.storage import private_folder, write_whole
from fedray.studies.steps import ExperimentStep, JudgementStep, Step, StoreStep

_TIMEOUT_S = 24 * 3600.0
ALARMS = "alarms.json"
"""Of a judgement, written last: 1 for each report that speaks against the tiles, else 0."""


class Outcome(NamedTuple):
    """What a step came to."""

    scores: Scores
    """Of an experiment's last round."""
    floor: Scores
    """What stands beside them."""
    run_id: str = ""
    """Of the MLflow run."""
    seconds: float = 0.0
    """What it took here; 0 where it was done before."""
    failed: str = ""
    """Why there are no scores; empty where all went well."""


def outcome_before(step: Step) -> Outcome | None:
    """Return what a step came to earlier; None while there is something left of it to do. Starts nothing."""
    if isinstance(step, StoreStep):
        return Outcome({}, {}) if step.folder.exists() else None  # a store is whole or absent
    if isinstance(step, JudgementStep):
        path = step.folder / ALARMS
        return Outcome(json.loads(path.read_text(encoding="utf-8")), {}) if path.exists() else None
    found = outcome_of(Place.at(step.folder))
    return None if found is None else Outcome(found["scores"], found["floor"], found["run_id"])


class Performer:
    """Does steps one after another; its workers stay from step to step while these are on the same tiles."""

    def __init__(
        self,
        resources: WorkerResources,
        prepared: Mapping[DataConfig, Prepared],
        tracking_uri: str,
        parent_run_id: str,
        tags: Mapping[str, str],
    ) -> None:
        """Wait for a step.

        Args:
            resources: Of the workers.
            prepared: What judges, by the tiles.
            tracking_uri: Of MLflow.
            parent_run_id: The study's run.
            tags: Of every step's run.
        """
        self._resources, self._prepared = resources, prepared
        self._tracking_uri, self._parent_run_id, self._tags = tracking_uri, parent_run_id, tags
        self._pool: WorkerPool | None = None
        self._tiles: DataConfig | None = None

    def perform(self, step: Step) -> Outcome:
        """Do a step, or what is left of it.

        Raises:
            UserError: It failed; the message says why.
        """
        started = time.monotonic()
        if isinstance(step, ExperimentStep):
            tags = {**self._tags, KIND: "cell", "fedray.step": step.fingerprint}
            result = run_experiment(
                step.config,
                out=step.folder,
                tracking_uri=self._tracking_uri,
                pool=self._workers(step.config),
                telling=Membership(self._parent_run_id, step.name, tags),
            )
            return Outcome(result.scores, result.floor, result.run_id, time.monotonic() - started)
        assert isinstance(step, StoreStep | JudgementStep)
        config = Finished.open(step.maker).config
        workers, device = self._workers(config), training_device(config.resources)
        if isinstance(step, StoreStep):
            arguments = (step.maker, step.per_label, step.seed, step.folder, device)
            workers.run(make_tiles, *arguments, timeout_s=_TIMEOUT_S)
            return Outcome({}, {}, seconds=time.monotonic() - started)
        asked = (step.name, step.maker, step.seed, step.folder, device)
        alarms = workers.run(judge_tiles, *asked, timeout_s=_TIMEOUT_S)
        return Outcome(alarms, {}, seconds=time.monotonic() - started)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _workers(self, config: ExperimentConfig) -> WorkerPool:
        if self._pool is None or self._tiles != config.data:
            self.close()
            prepared = self._prepared[config.data]
            install_evaluation(prepared, config.data)
            self._pool, self._tiles = start_workers(config, self._resources, prepared), config.data
        return self._pool


def make_tiles(maker: Path, per_label: int, seed: int, folder: Path, device: str) -> None:
    """Write a store of synthetic tiles. Runs on a worker.

    Args:
        maker: Results of the experiment that trained it.
        per_label: Tiles of each label.
        seed: Of the noise.
        folder: Of the store; one that is there is left as it is.
        device: Where the generator computes.
    """
    if folder.exists():
        TileStore.open(folder)
        return
    finished = Finished.open(maker)
    cells = cells_wanted([str(per_label)], finished.tiles)
    tiles = generated(finished, cells, seed, device)
    write_synthetic_store(folder, tiles, finished.tiles, origin_of(finished, cells, seed))


def judge_tiles(name: str, maker: Path, seed: int, folder: Path, device: str) -> Scores:
    """Make all reports on an experiment's tiles, with their page. Runs on a worker.

    Args:
        name: Of the tiles, for people.
        maker: Results of the experiment.
        seed: Of the noise, and of all that is drawn.
        folder: Of the page, its tables and figures.
        device: Where networks compute.

    Returns:
        1 for each report that speaks against the tiles, else 0, as ``memorisation/alarm``; nothing for one that has
        nothing to say.
    """
    finished = Finished.open(maker)
    config, store = finished.config, local_store(finished.config.data)
    evaluator = Evaluator.prepare(store, config.evaluation, device)
    subject, real = of_run(name, finished, config, store, seed, device), real_tiles(store, evaluator)
    judgements = judge_all([subject], real, evaluator, config, seed, lambda what: None)
    private_folder(folder)  # its pictures show real tiles
    command = f"python jobs/evaluate_generator.py --run {quote(str(maker))} --seed {seed}"
    write_judgements(judgements, about([subject], real, evaluator, config, seed, command), folder)
    findings = judgements[0].findings
    alarms = {f"{name}/alarm": float(found.alarm) for name, found in findings.items() if found.alarm is not None}
    write_whole(folder / ALARMS, json.dumps(alarms).encode())
    return alarms
