"""One step of a study: an experiment on warm workers, synthetic tiles of its generator, or the reports on them."""

import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import numpy as np

from fedray.config import DataConfig, ExperimentConfig
from fedray.data import TileStore, client_partition, local_store
from fedray.evaluation import Evaluator, Scores
from fedray.experiment import KIND, Prepared, run_experiment, start_workers
from fedray.experiment.controls import CONTROLS, Asked
from fedray.experiment.gated import StoreGate, check_passed, gate_line, keep_table, origin_of_gate, through_gate
from fedray.experiment.judged import about, judge_all, of_run, real_tiles, write_judgements
from fedray.experiment.prepare import install_evaluation
from fedray.experiment.telling import Membership
from fedray.experiment.thinning import thin
from fedray.learning import training_device
from fedray.randomness import stream
from fedray.results import Place
from fedray.results.files import CHECKPOINT
from fedray.results.finished import Finished
from fedray.results.folder import outcome_of
from fedray.results.generating import Cell, Images, cells_wanted, generated, origin_of, write_synthetic_store
from fedray.simulation import WorkerPool, WorkerResources
from fedray.storage import private_folder, sealed, unsealed, write_whole
from fedray.studies.steps import ControlStep, ExperimentStep, JudgementStep, Step, StoreStep

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
    told: str = ""
    """What is to be known of a store: what the gate refused."""


def outcome_before(step: Step) -> Outcome | None:
    """Return what a step came to earlier; None while there is something left of it to do. Starts nothing."""
    if isinstance(step, StoreStep | ControlStep):
        return _stored(step.folder) if step.folder.exists() else None  # a store is whole or absent
    if isinstance(step, JudgementStep):
        path = step.folder / ALARMS
        return Outcome(unsealed(path.read_bytes(), path), {}) if path.exists() else None
    found = outcome_of(Place(step.folder))
    return None if found is None else Outcome(found["scores"], found["floor"], found["run_id"])


def _stored(folder: Path) -> Outcome:
    return Outcome({}, {}, told=gate_line(TileStore.open(folder).origin or {}))


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
                out=Place(step.folder),  # in the study's own, which its job holds
                tracking_uri=self._tracking_uri,
                pool=self._workers(step.config),
                telling=Membership(self._parent_run_id, step.name, tags),
            )
            thin(step.config, Path(step.folder) / CHECKPOINT)  # of a study's many, none goes on
            return Outcome(result.scores, result.floor, result.run_id, time.monotonic() - started)
        assert isinstance(step, StoreStep | ControlStep | JudgementStep)
        config = Finished.open(step.maker).config
        workers, device = self._workers(config), training_device(config.resources)
        if not isinstance(step, JudgementStep):
            made = (make_tiles, step, device) if isinstance(step, StoreStep) else (make_control, step)
            workers.run(*made, timeout_s=_TIMEOUT_S)
            return _stored(step.folder)._replace(seconds=time.monotonic() - started)
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


def make_tiles(step: StoreStep, device: str) -> None:
    """Write a store of synthetic tiles. Runs on a worker.

    Args:
        step: Says whose tiles, how many, and what they must pass. A store that is there is left as it is.
        device: Where networks compute.

    Raises:
        GateError: There is a gate, and no cell passed it. All its answers are kept beside the step's folder.
    """
    if step.folder.exists():
        TileStore.open(step.folder)
        return
    finished = Finished.open(step.maker)
    cells, begun, more = cells_wanted([str(step.per_label)], finished.tiles), dict[Cell, Images](), dict[str, Any]()
    if step.gate is not None:
        gate = StoreGate.of_run(finished, step.gate, device)
        gated = through_gate(gate, finished.sampler(device), cells, step.seed)
        keep_table(gated.table, step.folder)
        check_passed(gate, gated)
        cells, begun = gated.passed, gated.begun
        more.update(origin_of_gate(gate, gated))
    tiles = generated(finished, cells, step.seed, device, begun=begun)
    write_synthetic_store(step.folder, tiles, finished.tiles, {**origin_of(finished, cells, step.seed), **more})


def make_control(step: ControlStep) -> None:
    """Write a store that stands in the place of synthetic tiles. Runs on a worker.

    Args:
        step: Says in the place of which, and how. A store that is there is left as it is.
    """
    if step.folder.exists():
        TileStore.open(step.folder)
        return
    made, finished = TileStore.open(step.of), Finished.open(step.maker)
    training = np.concatenate(client_partition(finished.config).clients)
    asked = Asked(made, local_store(finished.config.data), training, stream(step.seed, "control", step.control))
    origin = {**(made.origin or {}), "control": step.control}
    write_synthetic_store(step.folder, CONTROLS[step.control](asked), finished.tiles, origin)


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
    write_whole(folder / ALARMS, sealed(alarms))
    return alarms
