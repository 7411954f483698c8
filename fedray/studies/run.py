"""run_study(study) -> StudyResult: every step once, as many at a time as there is room for; a stopped study goes on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import ray

from fedray.cluster import cluster_name, connect, plan_workers
from fedray.cluster.reach import check_reach
from fedray.cluster.size import ClusterSize
from fedray.config import ConfigError, DataConfig
from fedray.experiment import KIND, Prepared, ended, prepare_judge
from fedray.experiment.prepare import keep_evaluation
from fedray.results import Place
from fedray.results.basis import this_fedray
from fedray.results.files import STUDY_TABLES
from fedray.results.folder import (
    STUDY,
    check_basis,
    check_folder,
    finish,
    is_started,
    open_folder,
    saved_as,
)
from fedray.results.unsent import send_before
from fedray.simulation import WorkerResources
from fedray.storage import is_uri, parquet_bytes, read_table, write_whole
from fedray.studies.definition import Study, load_study
from fedray.studies.lanes import Lanes, RayLanes
from fedray.studies.performing import Outcome, Performer, outcome_before
from fedray.studies.progress import StudyLines
from fedray.studies.rendering import to_html, to_markdown
from fedray.studies.steps import Plan, Step, plan_study
from fedray.studies.tables import FilledTable, fill_tables, to_frame
from fedray.tracking import TrackedRun, Tracker, check_tracking, code_version_tags, origin_tags

OnLine = Callable[[str], None]
MakeLanes = Callable[[Callable[[], Performer]], Lanes]
"""Makes the lanes, given what makes a performer in each of them."""


@dataclass(frozen=True)
class StudyPlan:
    """What the steps get of the cluster."""

    workers: WorkerResources
    """Of a lane."""
    num_lanes: int
    cluster: ClusterSize

    def __str__(self) -> str:
        """Say the plan in one line."""
        return f"{self.num_lanes} step(s) at a time, each with {self.workers}, on {self.cluster}"


@dataclass(frozen=True)
class StudyResult:
    """What a study leaves."""

    study: Study
    tables: list[FilledTable]
    failed: Mapping[str, str]
    """Why steps have no result, by their names."""
    out: Path
    """Folder with ``tables.md``, ``tables.html``, ``tables.parquet``, and each step's own in ``steps/``."""
    run_id: str
    """Of the study's MLflow run."""


def run_study(
    study: Study,
    *,
    out: str | Path,
    tracking_uri: str,
    max_concurrent: int | None = None,
    on_line: OnLine = print,
    make_lanes: MakeLanes | None = None,
) -> StudyResult:
    """Run a study, or continue the one that was stopped in ``out``; a step that is done is not run again.

    Everything that can be wrong is checked before anything is written.

    Args:
        study: What is asked, with the budget that it is run with.
        out: Folder for the results that all machines see.
        tracking_uri: Of MLflow.
        max_concurrent: Steps at a time at the most; unset: as many as there is room for.
        on_line: Told in one line of every step that has ended.
        make_lanes: Where steps run; unset: on the cluster.

    Raises:
        ValueError: The study, its data or its resources are impossible; the message says how.
        TrackingError: The tracking server does not answer.
        InUseError: Another job runs in ``out``.
    """
    place = Place.at(checked_out(out))
    with place.held():
        return _run_held(study, place, tracking_uri, max_concurrent, on_line, make_lanes)


def _run_held(
    study: Study,
    place: Place,
    tracking_uri: str,
    max_concurrent: int | None,
    on_line: OnLine,
    make_lanes: MakeLanes | None,
) -> StudyResult:
    """Run a study in a place that no other job can enter; what is there is looked at once more."""
    plan = check_study(study, place)
    cluster = connect()
    for config in {step.config.data: step.config for step in plan.experiments() if not step.upstream}.values():
        check_reach(config, cluster, place.folder)
    lanes_plan = plan_lanes(plan, cluster, max_concurrent)
    check_tracking(tracking_uri)
    send_before(place, tracking_uri)
    prepared = _prepare(plan, place.folder)
    key = open_folder(place, STUDY, study, this_fedray())
    for each in prepared.values():
        keep_evaluation(each, place.folder)
    tracking = plan.experiments()[0].config.tracking
    tracker = Tracker(tracking_uri, tracking.experiment, real_tiles=tracking.real_tiles, kept_in=place.address)
    with ended(_start_run(tracker, key, study)) as parent:
        tags = {"fedray.study": study.name, "fedray.cluster": cluster_name(), **origin_tags()}
        performer = partial(Performer, lanes_plan.workers, prepared, tracking_uri, parent.run_id, tags)
        lanes = make_lanes(performer) if make_lanes else RayLanes(lanes_plan.num_lanes, lanes_plan.workers, performer)
        with _closing(lanes, tracker, parent):
            outcomes = run_steps(plan, lanes, on_line)
        tables = fill_tables(study, plan, outcomes)
        write_tables(study, tables, place.folder, notes_of(plan, outcomes))
        _log_tables(parent, tables, place.folder)
    failed = {plan.steps[key].name: outcome.failed for key, outcome in outcomes.items() if outcome.failed}
    if not failed:
        finish(place, {"run_id": parent.run_id})
    return StudyResult(study, tables, failed, place.folder, parent.run_id)


def checked_out(out: str | Path) -> Path:
    """Refuse an address: steps read each other's results as files.

    Raises:
        ConfigError: With the remedy.
    """
    if is_uri(out):
        raise ConfigError(
            f"a study's --out must be a folder that all machines see, but got {out}; mount one, and name it"
        )
    return Path(out).expanduser()


def check_study(study: Study, out: Place) -> Plan:
    """Refuse a study that cannot run, or that is not the one that was started in its folder; starts nothing.

    Raises:
        ValueError: The message names the value, the rule and the remedy.
    """
    saved = saved_study(out) if is_started(out, STUDY) else None
    check_basis(out, STUDY, this_fedray())
    check_folder(out, STUDY, study, saved)
    return plan_study(study, out.folder)


def saved_study(out: Place) -> Study:
    """Read the study that was started in a folder.

    Raises:
        ConfigError: There is none, or it was changed since.
    """
    return saved_as(out, STUDY, load_study, Study)


def plan_lanes(plan: Plan, cluster: ClusterSize, max_concurrent: int | None = None) -> StudyPlan:
    """Divide the cluster into lanes that any step fits into.

    Raises:
        ResourceError: A step needs more than the cluster can ever have.
    """
    experiments = plan.experiments()
    wanted = min(len(experiments), max_concurrent or len(experiments))
    sizes = [plan_workers(step.config, cluster, num_experiments=wanted) for step in experiments]
    workers = max(sizes, key=lambda size: (size.gpus_per_worker, size.num_workers * size.cpus_per_worker))
    fit = cluster.slots(workers.cpus_per_worker, workers.gpus_per_worker) // workers.num_workers
    return StudyPlan(workers, max(1, min(wanted, fit)), cluster)


def run_steps(plan: Plan, lanes: Lanes, on_line: OnLine) -> dict[str, Outcome]:
    """Run the steps that are left, each once what it needs is there; returns what all came to, by fingerprint.

    A step whose needs failed fails with them; the others go on.
    """
    outcomes = {key: found for key, step in plan.steps.items() if (found := outcome_before(step)) is not None}
    lines = StudyLines(plan.steps, outcomes)
    on_line(lines.first())
    waiting = [step for key, step in plan.steps.items() if key not in outcomes]
    running = 0
    while waiting or running:
        for step in _ready(waiting, outcomes, lanes):
            waiting.remove(step)
            failed = [plan.steps[key].name for key in step.upstream if outcomes[key].failed]
            if failed:
                outcomes[step.fingerprint] = Outcome({}, {}, failed=f"{failed[0]} has failed, which it needs")
                on_line(lines.line(step, outcomes[step.fingerprint]))
                continue
            lanes.start(step)
            running += 1
        if running:
            step, outcome = lanes.wait()
            running -= 1
            outcomes[step.fingerprint] = outcome
            on_line(lines.line(step, outcome))
    return outcomes


def _ready(waiting: list[Step], outcomes: Mapping[str, Outcome], lanes: Lanes) -> Iterator[Step]:
    """Yield steps that can start, while there is room."""
    for step in list(waiting):
        if not lanes.free():
            return
        if all(key in outcomes for key in step.upstream):
            yield step


def notes_of(plan: Plan, outcomes: Mapping[str, Outcome]) -> list[str]:
    """Return what is to be known of the stores of synthetic tiles, a line each: what the gate refused."""
    found = ((step, outcomes[key].told) for key, step in plan.steps.items() if key in outcomes)
    return [f"{step.name}: {told}" for step, told in found if told]


def write_tables(study: Study, tables: list[FilledTable], folder: Path, notes: Sequence[str] = ()) -> None:
    """Write all tables as Markdown, HTML and Parquet, with notes below them."""
    markdown, page, parquet = (folder / name for name in STUDY_TABLES)
    write_whole(markdown, to_markdown(study, tables, notes).encode())
    write_whole(page, to_html(study, tables, notes).encode())
    write_whole(parquet, parquet_bytes(to_frame(tables)))


def read_tables(folder: Path) -> pd.DataFrame:
    """Read the figures of a study's tables."""
    return read_table(folder / STUDY_TABLES[2])


def _prepare(plan: Plan, folder: Path) -> dict[DataConfig, Prepared]:
    """Prepare what judges once for all steps on the same tiles: extractors are trained, real tiles are measured.

    What an earlier start of the study kept in its folder is taken, not made anew.
    """
    files: dict[DataConfig, dict[str, bytes]] = {}
    fingerprints: dict[DataConfig, str] = {}
    judged = {(step.config.data, step.config.evaluation, step.config.task): step.config for step in plan.experiments()}
    for (data, _, _), config in judged.items():
        _, prepared = prepare_judge(config, folder)
        files.setdefault(data, {}).update(ray.get(prepared[0]))
        fingerprints[data] = prepared[1]
    return {data: [ray.put(found), fingerprints[data]] for data, found in files.items()}


def _start_run(tracker: Tracker, key: str, study: Study) -> TrackedRun:
    tags = {KIND: "study", "fedray.study": study.name, "fedray.budget": study.budget, **code_version_tags()}
    return tracker.start_run(f"study {study.name}, budget {study.budget}", key=key, params={}, tags=tags)


@contextmanager
def _closing(lanes: Lanes, tracker: Tracker, parent: TrackedRun) -> Iterator[None]:
    """End the lanes; Ctrl-C ends the runs of their steps too, whose processes are gone."""
    try:
        yield
    except BaseException:
        lanes.close()
        tracker.end_unfinished(parent.run_id)
        raise
    lanes.close()


def _log_tables(parent: TrackedRun, tables: list[FilledTable], folder: Path) -> None:
    for name in STUDY_TABLES:
        parent.log_artifact(folder / name)
    parent.log_artifact(folder / STUDY.config)
    means = {
        f"{filled.table.name}/{row.name}/{cell.score}": cell.mean.mean
        for filled in tables
        for row in filled.rows
        for cell in row.cells
        if cell.mean.num
    }
    parent.log_figures(0, means)
    parent.describe((folder / STUDY_TABLES[0]).read_text(encoding="utf-8"))
