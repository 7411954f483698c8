"""What a run left, opened again: what reports, studies and synthetic tiles are made from."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple, cast

import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedray.config import ExperimentConfig, load_config, override, validate
from fedray.data import KnownTiles
from fedray.errors import UserError
from fedray.evaluation import Scores
from fedray.learning import Arrays, Learner, check_finite
from fedray.results.basis import FEDRAY, FOLDER_FORMAT, FORMAT, Basis, ShownTiles, basis_of, shown_tiles
from fedray.results.files import ARRAYS, BEST, CHECKPOINT, FINISHED, RESULTS
from fedray.results.folder import EXPERIMENT, STUDY, SWEEP, FolderKind, identity_of, is_started
from fedray.results.kept import ResultsError, last_arrays, scores_of, trial_arrays, trial_values
from fedray.results.place import Place, results_root
from fedray.storage import (
    DamagedError,
    SharedFolder,
    digest,
    in_order,
    is_uri,
    read_table,
    scratch_folder,
    sealed,
    unsealed,
)
from fedray.tasks import Classifier, Sampler, judged_arrays, task_of
from fedray.tracking import RecordedRun, TrackedRun, recorded_run, resolve_tracking_uri

RUN_ID = re.compile("[0-9a-f]{32}")
"""Of MLflow."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished experiment, or a trial of a finished sweep; :meth:`open` makes one, of a sweep the best.

    Attributes:
        place: What the user called it, or the MLflow run, for messages.
        kind: ``experiment`` or ``sweep``.
        config: Of the experiment, or of the best trial, with all that was unset filled in.
        tiles: What it learned from: the store's fingerprint, the tiles' size, the names of labels and domains.
        rounds: Rounds done; of a trial, until the one that is scored.
        arrays: What the server had of the networks in the end, by name: that which was scored.
        scores: Of the last round, by name; of a trial, of the one that is scored.
        floor: What real tiles score in the place of generated ones, or who always answers the majority label; empty
            where it is not known.
        history: Of an experiment a row a round: ``round``, scores, losses, steps, seconds. Of a sweep a row a trial,
            best first.
        run_id: Of the MLflow run; of a sweep, the trial's.
    """

    place: str
    kind: str
    config: ExperimentConfig
    tiles: ShownTiles
    rounds: int
    arrays: Arrays
    scores: Scores
    floor: Scores
    history: pd.DataFrame
    run_id: str

    @classmethod
    def open(cls, place: str | Path, tracking_uri: str | None = None) -> "Finished":
        """Read what a run left; nothing is started, written or unpickled, and no tile store is needed.

        Args:
            place: A results folder, its ``s3://`` or ``gs://`` address, or the id of an MLflow run (32 hexadecimal
                digits): an experiment's or a sweep's.
            tracking_uri: Where MLflow knows that run; unset: where jobs track (``MLFLOW_TRACKING_URI``, or
                ``mlflow.db`` in the folder for results).

        Raises:
            ResultsError: Nothing finished is there, it was written in another format, or it is damaged.
            StorageError: The shared storage does not answer.
            TrackingError: MLflow does not answer, or knows no such run.
        """
        if RUN_ID.fullmatch(str(place)) and not Path(place).exists():
            run = recorded_run(str(place), tracking_uri or resolve_tracking_uri(results_root()))
            with scratch_folder() as copies, _readable(run):
                return _of_run(run, copies)
        with _files_of(place) as out, _readable(out):
            return _of_experiment(out) if _checked_kind(out) is EXPERIMENT else _of_sweep(out)

    @classmethod
    def open_trials(cls, place: str | Path, tracking_uri: str | None = None) -> "Trials":
        """Open every trial of a finished sweep that was kept, best first: those that ran all their rounds.

        Of an experiment that is the experiment itself, and of a sweep in MLflow the best trial alone, whose arrays are
        all that MLflow has. Arguments and errors as of :meth:`open`.
        """
        if RUN_ID.fullmatch(str(place)) and not Path(place).exists():
            found = cls.open(place, tracking_uri)
            why = "MLflow has the best trial's network alone; name the sweep's folder"
            others = found.history["trial"][1:] if found.kind == SWEEP.name else ()
            return Trials([found], {str(trial): why for trial in others})
        with _files_of(place) as out, _readable(out):
            if _checked_kind(out) is EXPERIMENT:
                return Trials([_of_experiment(out)], {})
            table = read_table(out.folder / RESULTS)
            lost = table[table["outcome"] != "complete"]
            told = {
                str(row["trial"]): f"{row['outcome']} after {row['rounds']} round(s), so its network was not kept"
                for row in lost.to_dict("records")
            }
            return Trials([_of_sweep(out, row) for row in range(len(table) - len(lost))], told)

    def learner(self, device: str = "cpu") -> Learner:
        """Build the networks with these arrays in them; parts that stay with clients are as before round 1.

        Args:
            device: Where they compute.

        Raises:
            ModelError: The networks cannot be built here.
            ResultsError: The arrays are not theirs.
        """
        learner: Learner = task_of(self.config).make(self.config, self.tiles.shape, device, load_weights=False)
        try:
            learner.load(self.arrays)
        except ValueError as error:
            raise ResultsError(f"the arrays of {self.place} do not fit its configuration: {error}") from None
        return learner

    def sampler(self, device: str = "cpu") -> Sampler:
        """Build what makes tiles: ``sampler().sample(labels, torch_stream(seed, "augment"))``.

        Raises:
            ResultsError: Its task makes none, or what makes them stays with the clients. Others as of :meth:`learner`.
        """
        return cast(Sampler, self._able("samples", "makes no tiles", device))

    def classifier(self, device: str = "cpu") -> Classifier:
        """Build what judges tiles: ``classifier().logits(tiles)``.

        Raises:
            ResultsError: As of :meth:`sampler`. Others as of :meth:`learner`.
        """
        return cast(Classifier, self._able("labels", "tells no labels apart", device))

    def _able(self, ability: str, lacks: str, device: str) -> Learner:
        task = task_of(self.config)
        if ability != task.ABILITY:
            raise ResultsError(
                f"{self.place} holds a run of task {self.config.task!r}, which {lacks}; give one of another task"
            )
        if not judged_arrays(self.config, self.arrays):
            federation = self.config.federation
            field, value, remedy = (
                ("strategy", federation.strategy, "'fedavg', say")
                if federation.personal
                else ("aggregate", federation.aggregate, "'both'")
            )
            raise ResultsError(
                f"{self.place} has no {', '.join(task.judged(self.config))}: each client kept its own, because "
                f"federation.{field} is {value!r}; run it with {remedy}"
            )
        return self.learner(device)


class SweepTable(NamedTuple):
    """A finished sweep, without its networks."""

    started: Mapping[str, Any]
    """Its search space as it was started, with all that the data decided."""
    rests_on: Basis
    trials: pd.DataFrame
    """A row a trial, best first."""


def sweep_table(place: str) -> SweepTable:
    """Read what a finished sweep found; nothing is written or unpickled.

    Args:
        place: Its results folder, or its ``s3://`` or ``gs://`` address.

    Raises:
        ResultsError: No finished sweep is there, it was written in another format, or it is damaged.
        StorageError: The shared storage does not answer.
    """
    with _files_of(place) as out, _readable(out):
        if _checked_kind(out) is not SWEEP:
            raise ResultsError(f"{out} holds a single experiment; give the results of a sweep")
        identity = identity_of(out, SWEEP)
        return SweepTable(identity["started"], identity["rests_on"], read_table(out.folder / RESULTS))


class Trials(NamedTuple):
    """The trials of a sweep, or the one experiment."""

    kept: list[Finished]
    lost: dict[str, str]
    """Why the others cannot be opened, by the trial."""


def log_ending(
    run: TrackedRun,
    config: ExperimentConfig,
    arrays: Arrays,
    store: KnownTiles,
    round_index: int,
    scores: Scores,
    floor: Scores,
) -> None:
    """Log what :meth:`Finished.open` needs of an MLflow run beside its configuration: no pickle, the ending last.

    Args:
        run: Of the experiment, or of the sweep.
        config: Of the experiment, or of the best trial.
        arrays: What the server has.
        store: The tiles.
        round_index: Rounds done.
        scores: By name.
        floor: By name; empty where it is not known.

    Raises:
        DivergedError: An array is not finite.
    """
    check_finite(arrays, "the arrays to be logged")
    content = save(in_order(arrays))
    ending = {"rests_on": basis_of(config, store), "rounds": round_index, "scores": scores, "floor": floor}
    with scratch_folder() as scratch:
        (scratch / ARRAYS).write_bytes(content)
        (scratch / FINISHED).write_bytes(sealed({**ending, ARRAYS: digest(content)}))
        for name in (ARRAYS, FINISHED):
            run.log_artifact(scratch / name)


@contextmanager
def _files_of(place: str | Path) -> Iterator[Place]:
    """Give the small files of a place; what stands at an address is copied here for the moment.

    ``Place.at`` is for jobs: it copies all there is.
    """
    if not is_uri(place):
        if not Path(place).is_dir():
            raise ResultsError(
                f"there is no results folder {place}; give the folder that a job had as --out, or made below runs/, "
                "its s3:// or gs:// address, or the id of its MLflow run (32 hexadecimal digits)"
            )
        yield Place(Path(place))
        return
    shared = SharedFolder(str(place))
    with scratch_folder() as copies:
        wanted = {kind.identity for kind in (EXPERIMENT, SWEEP)} | {FINISHED, RESULTS}
        shared.download([name for name in shared.names() if name in wanted], copies)
        yield Place(copies, shared)


def _checked_kind(out: Place) -> FolderKind:
    """Say what a place holds; refuse what is of another format, or not finished."""
    kind = next((kind for kind in (EXPERIMENT, SWEEP) if is_started(out, kind)), None)
    if kind is None:
        if is_started(out, STUDY):
            raise ResultsError(f"{out} holds a study; give one of the experiments in its folder steps/")
        raise ResultsError(
            f"{out} holds no experiment and no sweep (no {EXPERIMENT.identity}, no {SWEEP.identity}); give the folder "
            "or address that a job's last lines name as its results"
        )
    identity = identity_of(out, kind)
    _check_format(f"the {kind.name} in {out}", identity["rests_on"])
    if not (out.folder / FINISHED).is_file():
        raise ResultsError(
            f"the {kind.name} in {out} is not finished; let its job go on with --resume {quote(str(out))} first"
        )
    return kind


def _check_format(what: str, basis: Basis) -> None:
    """Refuse what another FedRay wrote otherwise."""
    written = basis.get(FORMAT)
    if written != str(FOLDER_FORMAT):
        raise ResultsError(
            f"{what} was written by FedRay {basis.get(FEDRAY, 'unknown')} in format {written}, and this FedRay opens "
            f"what it writes itself, in format {FOLDER_FORMAT}; run it again with this one"
        )


def _of_experiment(out: Place) -> Finished:
    identity = identity_of(out, EXPERIMENT)
    arrays, rounds = last_arrays(out, CHECKPOINT)
    ending = unsealed((out.folder / FINISHED).read_bytes(), out.folder / FINISHED)
    return Finished(
        place=str(out),
        kind=EXPERIMENT.name,
        # as it was started: what somebody has edited in the folder since is of another run
        config=validate(ExperimentConfig, identity["started"], f"{out}/{EXPERIMENT.identity}"),
        tiles=shown_tiles(identity["rests_on"]),
        rounds=rounds,
        arrays=arrays,
        scores=ending["scores"],
        floor=ending["floor"],
        history=read_table(out.folder / RESULTS),
        run_id=ending["run_id"],
    )


def _of_sweep(out: Place, row: int = 0) -> Finished:
    """Open a trial by its row in the table, which has the best first."""
    identity, table = identity_of(out, SWEEP), read_table(out.folder / RESULTS)
    started, trial, source = identity["started"], table.iloc[row], f"{out}/{SWEEP.identity}"
    arrays, rounds = trial_arrays(out, trial)
    fixed = validate(ExperimentConfig, started["fixed"], source)
    scores, floor = scores_of(trial)
    return Finished(
        place=str(out),
        kind=SWEEP.name,
        config=override(fixed, trial_values(trial, started["search"], rounds), source).resolved(),
        tiles=shown_tiles(identity["rests_on"]),
        rounds=rounds,
        arrays=arrays,
        scores=scores,
        floor=floor,
        history=table,
        run_id=str(trial["run_id"]),
    )


def _of_run(run: RecordedRun, copies: Path) -> Finished:
    is_sweep = _check_whole(run)
    ending = unsealed(run.download(FINISHED, copies).read_bytes(), FINISHED)
    _check_format(str(run), ending["rests_on"])
    content = run.download(ARRAYS, copies).read_bytes()
    if digest(content) != ending.get(ARRAYS, digest(content)):  # a FedRay before there were digests kept none
        raise DamagedError.of(f"{ARRAYS} of {run}", "its content is not what was logged")
    arrays = load(content)
    check_finite(arrays, f"{ARRAYS} of {run}")
    scores, floor, run_id = ending["scores"], ending["floor"], run.run_id
    if is_sweep:
        history = read_table(run.download(RESULTS, copies))
        (scores, floor), run_id = scores_of(history.iloc[0]), str(history["run_id"].iloc[0])
    else:
        steps = run.history()
        history = pd.DataFrame([{"round": step, **steps[step]} for step in steps if step > 0])
    return Finished(
        place=str(run),
        kind=(SWEEP if is_sweep else EXPERIMENT).name,
        config=load_config(run.download(BEST if is_sweep else EXPERIMENT.config, copies)),
        tiles=shown_tiles(ending["rests_on"]),
        rounds=ending["rounds"],
        arrays=arrays,
        scores=scores,
        floor=floor,
        history=history,
        run_id=run_id,
    )


def _check_whole(run: RecordedRun) -> bool:
    """Refuse a run in MLflow that has not all that is read of it; say whether it is a sweep's."""
    if run.parent_run_id is not None:
        raise ResultsError(
            f"{run} is a trial of a sweep, or a cell of a study, and MLflow does not have its arrays: of a study open "
            "a folder in its steps/; of a sweep its own run has those of the best trial, so open that one: "
            f"{run.parent_run_id}"
        )
    if run.status != "FINISHED":
        raise ResultsError(
            f"{run} is not finished but {run.status}; let its job go on with --resume and its folder first"
        )
    files = run.files()
    is_sweep = BEST in files
    needed = (FINISHED, ARRAYS, *((BEST, RESULTS) if is_sweep else (EXPERIMENT.config,)))
    if missing := [name for name in needed if name not in files]:
        raise ResultsError(
            f"{run} has no {', '.join(missing)} among its files in {run.location}: an older FedRay tracked it, or "
            "something else did, or they are gone from there; open the folder of its results instead"
        )
    return is_sweep


@contextmanager
def _readable(place: object) -> Iterator[None]:
    """Say of files that are cut off, or are not what they are named, where they are and what to do."""
    try:
        yield
    except DamagedError as error:
        raise ResultsError(f"{place} is damaged: {error}") from None
    except UserError:
        raise
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise ResultsError(
            f"{place} is damaged ({type(error).__name__}: {error}); bring its files back from a copy, or run it again"
        ) from None
