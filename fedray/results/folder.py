"""The folder of a job's results: it holds one experiment, sweep or study, which is found again in it to continue."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from pydantic import BaseModel

from fedray.config import ConfigError, config_paths, flatten, to_yaml, validate
from fedray.results.basis import Basis, changes, this_fedray
from fedray.results.files import (
    BEST,
    CHECKPOINT,
    CONFUSION,
    EVALUATION,
    FINISHED,
    IMPORTANCE,
    PROMOTED,
    REPORT,
    RESULTS,
    SAMPLES,
    SELF_TEST,
    SELF_TEST_PICTURE,
    STUDY_TABLES,
    TRIALS,
    TUNE_STATE,
)
from fedray.results.place import Place
from fedray.storage import DamagedError, private_folder, sealed, unsealed, why_not_made, write_whole

Saved = TypeVar("Saved", bound=BaseModel)


@dataclass(frozen=True)
class FolderKind:
    """What a folder can hold."""

    name: str
    """In messages."""
    config: str
    """File with what was started."""
    identity: str
    """File with the key that names it in MLflow, what was started, and what that rests on (basis.py). Something was
    started in a folder once it is there; ``config`` repeats for people what it says."""
    option: str
    """The option that takes its configuration."""


EXPERIMENT = FolderKind("experiment", config="config.yaml", identity="experiment.json", option="--config")
SWEEP = FolderKind("sweep", config="sweep.yaml", identity="sweep.json", option="--space")
STUDY = FolderKind("study", config="study.yaml", identity="study.json", option="--study")
KINDS = (EXPERIMENT, SWEEP, STUDY)

_RESULTS = (
    FINISHED,
    EVALUATION,
    RESULTS,
    TRIALS,
    IMPORTANCE,
    REPORT,
    BEST,
    SAMPLES,
    CONFUSION,
    SELF_TEST,
    SELF_TEST_PICTURE,
    CHECKPOINT,
    TUNE_STATE,
    PROMOTED,
    *STUDY_TABLES,
)


def check_folder(out: Place, kind: FolderKind, started: BaseModel, saved: BaseModel | None) -> None:
    """Refuse a folder that cannot be made, or holds something else; writes nothing.

    Args:
        out: Place for the results.
        kind: What shall be in it.
        started: Configuration of what shall be in it.
        saved: Configuration of what is in it already, if anything.

    Raises:
        ConfigError: The message says what is there and the remedy.
    """
    if problem := why_not_made(out.folder):
        raise ConfigError(f"--out {out} cannot be used: {problem}; choose another --out")
    if saved is not None:
        if others := _differences(_flat(saved), _flat(started), "{path} is {old!r} there, not {new!r}"):
            raise ConfigError(
                f"{out} holds another {kind.name} ({others}); continue that one with --resume {quote(str(out))}, or "
                "choose another --out"
            )
        return
    strangers = {other.identity: other.name for other in KINDS if other is not kind}
    names = (*strangers, *(each.config for each in KINDS), *_RESULTS)
    cut = {kind.config} if _is_cut(out.folder / kind.config, started) else set()
    if found := [name for name in names if (out.folder / name).exists() and name not in cut]:
        what = f"holds another job's {strangers[found[0]]}" if found[0] in strangers else f"already has a {found[0]}"
        raise ConfigError(f"{out} {what}, which this {kind.name} would overwrite; choose another --out")


def _is_cut(config: Path, started: BaseModel) -> bool:
    """Say whether a file is the beginning of what a start writes there: one that died, and may be made again."""
    return config.is_file() and to_yaml(started).encode().startswith(config.read_bytes())


def open_folder(out: Place, kind: FolderKind, started: BaseModel, basis: Basis) -> str:
    """Make the folder, or find it again. Returns the key that names what is in it in MLflow.

    A start that is cut here is begun again by the same one, or goes on.

    Raises:
        ConfigError: The folder cannot be written, or what is in it rests on something else.
        StorageError: The shared storage cannot be.
    """
    identity = out.folder / kind.identity
    try:
        private_folder(out.folder)
        if not is_started(out, kind):
            (out.folder / kind.config).unlink(missing_ok=True)  # of a start that was cut
            record = {"key": uuid.uuid4().hex, "started": started.model_dump(mode="json"), "rests_on": dict(basis)}
            write_whole(identity, sealed(record))
            out.push()
        check_basis(out, kind, basis)
        if not (out.folder / kind.config).exists():
            write_whole(out.folder / kind.config, to_yaml(started).encode())
            out.push()
        return str(identity_of(out, kind)["key"])
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written ({error.strerror}); choose another --out") from None


def check_basis(out: Place, kind: FolderKind, basis: Basis) -> None:
    """Refuse to go on with what was started on something else. Where nothing was started, nothing is refused.

    Raises:
        ConfigError: Each difference with both values and its remedy.
    """
    if is_started(out, kind) and (found := changes(identity_of(out, kind)["rests_on"], basis)):
        raise ConfigError(
            f"the {kind.name} in {out} cannot go on, because one run would rest on two things: {'; and '.join(found)}; "
            "or start a new one with another --out"
        )


def check_unedited(out: Place, kind: FolderKind, saved: BaseModel) -> None:
    """Refuse a configuration that was changed in the folder after the start.

    Args:
        out: The place.
        kind: What was started in it.
        saved: Its configuration as it stands in the folder now.

    Raises:
        ConfigError: The message says what it was and is, and the remedy.
    """
    began, now = flatten(identity_of(out, kind)["started"]), _flat(saved)
    if edits := _differences(began, now, "{path} was {old!r}, and is {new!r} now"):
        check_basis(out, kind, this_fedray())  # another one may have other fields
        if new := [path for path in now if path not in began and path.removeprefix("fixed.") in config_paths()]:
            raise ConfigError(
                f"the {kind.name} in {out} was started by a FedRay that had no {', '.join(new)}; go on with that one, "
                "or start a new one with another --out"
            )
        raise ConfigError(
            f"{out}/{kind.config} was changed after the {kind.name} was started ({edits}), but it can only go on as it "
            f"began: change that back; or start a new {kind.name} with {kind.option} "
            f"{quote(f'{out}/{kind.config}')} and another --out"
        )


def finish(out: Place, outcome: Mapping[str, Any]) -> None:
    """Note that all is done.

    Args:
        out: The place.
        outcome: What its table needs beside the results, as JSON can hold it.
    """
    write_whole(out.folder / FINISHED, sealed(outcome))
    out.push()


def extend(out: Place, kind: FolderKind, started: BaseModel) -> None:
    """Have what was started in a folder, and may be done, go on as more of the same: with more trials, or more rounds.

    A process that dies here leaves it as it was, but for what said that it was done, or extended.

    Args:
        out: The place; nobody else is in it.
        kind: What was started.
        started: Its configuration from now on.
    """
    record = {**identity_of(out, kind), "started": started.model_dump(mode="json")}
    (out.folder / FINISHED).unlink(missing_ok=True)
    out.push()  # there too, before anything says that there is more to do
    (out.folder / kind.config).unlink(missing_ok=True)  # a start without it is whole: open_folder writes it again
    write_whole(out.folder / kind.identity, sealed(record))
    write_whole(out.folder / kind.config, to_yaml(started).encode())
    out.push()


def outcome_of(out: Place) -> Mapping[str, Any] | None:
    """Return what :func:`finish` noted; None while there is something left to do."""
    path = out.folder / FINISHED
    return unsealed(path.read_bytes(), path) if path.is_file() else None


def identity_of(out: Place, kind: FolderKind) -> Mapping[str, Any]:
    """Read what was recorded at the start: ``key``, ``started`` and ``rests_on``.

    Raises:
        ConfigError: An older FedRay did not record it, or the file was changed.
    """
    path = out.folder / kind.identity
    found = _record(path) or {}
    if not {"key", "started", "rests_on"} <= found.keys():
        raise ConfigError(
            f"{path} does not say what the {kind.name} was started with and what it rests on: an older FedRay has "
            f"written it, or it was changed; start a new {kind.name} with {kind.option} "
            f"{quote(f'{out}/{kind.config}')} and another --out"
        )
    return found


def _record(path: Path) -> dict[str, Any] | None:
    """Read a record; None of one that was cut. One that is whole and not what was written is an error."""
    try:
        return unsealed(path.read_bytes(), path)
    except DamagedError:
        raise
    except ValueError:
        return None


def is_started(out: Place, kind: FolderKind) -> bool:
    """Say whether something of this kind was started in the folder.

    An identity that cannot be read, with nothing else beside it, is of a start that was cut.
    """
    path = out.folder / kind.identity
    return path.is_file() and (_record(path) is not None or any((out.folder / name).exists() for name in _RESULTS))


def saved_as(out: Place, kind: FolderKind, load: Callable[[Path], Saved], model: type[Saved]) -> Saved:
    """Read the configuration of what was started in a folder.

    Args:
        out: The place.
        kind: What was started in it.
        load: Reads the file with it.
        model: Of it: where the file is missing, as a start that was cut leaves it, what was started is known all the
            same.

    Raises:
        ConfigError: There is nothing of the kind, or its configuration was changed since.
    """
    check_resumable(out, kind)
    path = out.folder / kind.config
    if not path.exists():
        return validate(model, identity_of(out, kind)["started"], source=str(out.folder / kind.identity))
    saved = load(path)
    check_unedited(out, kind, saved)
    return saved


def check_resumable(out: Place, kind: FolderKind) -> None:
    """Refuse to continue what is not there.

    Raises:
        ConfigError: The message says what is there instead.
    """
    if is_started(out, kind):
        return
    what = f"it has no {kind.identity}" if out.folder.is_dir() else "there is no such folder"
    if out.folder.is_dir() and any((out.folder / name).exists() for name in (kind.identity, kind.config)):
        raise ConfigError(
            f"there is no {kind.name} to continue in {out}: its start was cut before it had begun; start it again, as "
            f"before, with --out {quote(str(out))}"
        )
    if there := [other for other in KINDS if is_started(out, other)]:
        what = f"it holds {'an' if there[0] is EXPERIMENT else 'a'} {there[0].name}"
    raise ConfigError(
        f"there is no {kind.name} to continue in {out}: {what}; --resume takes the folder that the stopped {kind.name} "
        f"had as --out, or made below runs/"
    )


def _flat(config: BaseModel) -> dict[str, Any]:
    return flatten(config.model_dump(mode="json"))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], text: str, at_most: int = 3) -> str:
    """Say in which values two configurations differ, each by a text with ``path``, ``old`` and ``new``."""
    paths: Sequence[str] = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    told = [text.format(path=path, old=old.get(path), new=new.get(path)) for path in paths[:at_most]]
    return ", ".join(told) + (f", and {len(paths) - at_most} more" if len(paths) > at_most else "")
