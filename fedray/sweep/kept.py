"""A sweep's study as it is kept: as plain JSON beside the results, and in a storage of Optuna's for its other tools."""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from fedray.config import ConfigError
from fedray.results import Place
from fedray.results.files import TRIALS
from fedray.results.folder import SWEEP, is_started, outcome_of
from fedray.storage import scratch_folder, sealed, unsealed, whole_file, write_whole
from fedray.sweep.check import saved_space
from fedray.sweep.results import RUN_ID
from fedray.sweep.searcher import OptunaSearcher
from fedray.sweep.space import SearchSpace
from fedray.sweep.state import kept_files
from fedray.tracking.address import sqlite_uri


def keep_study(study: optuna.Study, run_ids: Mapping[str, str], folder: Path) -> None:
    """Write a study into the folder of a sweep's results: nothing that runs code when it is read.

    Args:
        study: Of the sweep.
        run_ids: MLflow's id of each trial's run, by the trial.
        folder: Of the results.
    """
    trials = [_record(trial, run_ids) for trial in study.get_trials(deepcopy=False)]
    directions = [direction.name.lower() for direction in study.directions]
    record = {"study": study.study_name, "directions": directions, "optuna": optuna.__version__, "trials": trials}
    write_whole(folder / TRIALS, sealed(record))


def opened_sweep(place: str | Path | Place) -> tuple[Place, SearchSpace]:
    """Find a sweep by its results folder or its address; nothing is started or written.

    Raises:
        ConfigError: There is none, or its space was changed since.
        StorageError: The storage does not answer.
    """
    out = Place.at(place)
    if not is_started(out, SWEEP):
        raise ConfigError(
            f"{out} holds no sweep (no {SWEEP.identity}); give the folder or address that a sweep's last lines name as "
            "its results"
        )
    return out, saved_space(out)


def open_study(place: str | Path | Place) -> optuna.Study:
    """Read the study of a sweep, finished or not, by its results folder or its address.

    Every trial with its values, state, the scores of its rounds and, as user attributes, FedRay's name of it
    (``trial_id``), its MLflow run (``run_id``, once the sweep is finished), all scores of its last evaluation
    (``scores/``), what it spent (``spent/``) and when its rounds began and ended (``times``).

    Raises:
        ConfigError: There is no sweep, or none of its trials has begun.
        DamagedError: What was kept is not what was written.
        SignatureError: The sweep is not finished, and its state was not signed with the user's key.
        StorageError: The storage does not answer.
    """
    out, space = opened_sweep(place)
    return study_of(space, out)


def study_of(space: SearchSpace, out: Place) -> optuna.Study:
    """Read a sweep's study: of a finished one what is kept with its results, else what it would go on with.

    Args:
        space: Of the sweep.
        out: Its place.

    Raises:
        ConfigError: No trial has begun.
        DamagedError: What was kept is not what was written.
        SignatureError: The sweep is not finished, and its state was not signed with the user's key.
    """
    if outcome_of(out) is not None and (out.folder / TRIALS).is_file():
        return _read(out.folder / TRIALS)
    state = {name: content for name, content in kept_files(out).items() if name.startswith("searcher-state")}
    if not state:
        raise ConfigError(f"the sweep in {out} has no study yet: none of its trials has begun")
    searcher = OptunaSearcher(space)
    with scratch_folder() as folder:
        for name, content in state.items():
            write_whole(folder / name, content)
        searcher.restore_from_dir(str(folder))
    return searcher.runs


def export_study(study: optuna.Study, path: Path, name: str) -> None:
    """Write a study into a SQLite file that Optuna and its dashboard read; other studies in the file stay.

    What FedRay keeps with a trial as a dictionary (all scores of its last evaluation, what it spent) becomes an
    attribute for each entry, which the dashboard can draw.

    Args:
        study: Of a sweep.
        path: The file; made if it is not there.
        name: Of the study in the file.

    Raises:
        ConfigError: The file holds a study of that name, or is no storage of Optuna's.
        OSError: It cannot be written; what was there stays.
    """
    with whole_file(path) as partial:
        if path.exists():
            shutil.copyfile(path, partial)
        try:
            storage = RDBStorage(sqlite_uri(partial))
            copy = optuna.create_study(study_name=name, storage=storage, directions=study.directions)
        except optuna.exceptions.DuplicatedStudyError:
            raise ConfigError(
                f"{path} holds a study {name!r} already; give this one another --name, or another --out"
            ) from None
        except Exception as error:  # of SQLAlchemy, Alembic or Optuna: whatever the file is
            raise ConfigError(
                f"{path} is no SQLite storage of Optuna's ({str(error).splitlines()[0]}); give another --out"
            ) from None
        copy.add_trials(_flat(trial) for trial in study.get_trials(deepcopy=True))
        storage.remove_session()
        storage.engine.dispose()


_PICKLED = ("cma:", "cmawm:")  # what Optuna's CMA-ES keeps of itself with trials, and unpickles


def _record(trial: FrozenTrial, run_ids: Mapping[str, str]) -> dict[str, Any]:
    known = run_ids.get(str(trial.user_attrs.get("trial_id")))
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "values": trial.values,
        "started": _text(trial.datetime_start),
        "completed": _text(trial.datetime_complete),
        "params": trial.params,
        "distributions": {name: distribution_to_json(range_) for name, range_ in trial.distributions.items()},
        "user_attrs": {**trial.user_attrs, **({RUN_ID: known} if known else {})},
        "system_attrs": {key: value for key, value in trial.system_attrs.items() if not key.startswith(_PICKLED)},
        "intermediate_values": trial.intermediate_values,
    }


def _read(path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    record = unsealed(path.read_bytes(), path)
    study = optuna.create_study(study_name=record["study"], directions=record["directions"])
    study.add_trials(_trial(kept) for kept in record["trials"])
    return study


def _trial(kept: Mapping[str, Any]) -> FrozenTrial:
    return FrozenTrial(
        number=kept["number"],
        trial_id=kept["number"],
        state=TrialState[kept["state"].upper()],
        value=None,
        values=kept["values"],
        datetime_start=_time(kept["started"]),
        datetime_complete=_time(kept["completed"]),
        params=kept["params"],
        distributions={name: json_to_distribution(text) for name, text in kept["distributions"].items()},
        user_attrs=kept["user_attrs"],
        system_attrs=kept["system_attrs"],
        intermediate_values={int(step): value for step, value in kept["intermediate_values"].items()},
    )


def _flat(trial: FrozenTrial) -> FrozenTrial:
    """Make an attribute of each entry of those that are dictionaries."""
    flat: dict[str, Any] = {}
    for name, value in trial.user_attrs.items():
        flat |= {f"{name}{entry}": each for entry, each in value.items()} if isinstance(value, dict) else {name: value}
    trial.user_attrs = flat
    return trial


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
