"""The folder of a job's results: it holds one experiment or one sweep, which is found again in it to continue."""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from fedray.config import ConfigError, flatten, save_config
from fedray.experiment.place import TUNE_STATE, Place


@dataclass(frozen=True)
class FolderKind:
    """What a folder can hold."""

    name: str
    """In messages."""
    config: str
    """File with what was started."""
    identity: str
    """File with the key that names it in MLflow; written last, so a folder that has it is a whole one."""


EXPERIMENT = FolderKind("experiment", config="config.yaml", identity="experiment.json")
SWEEP = FolderKind("sweep", config="sweep.yaml", identity="sweep.json")

_RESULTS = ("results.parquet", "best.yaml", "samples.png", "checkpoint", TUNE_STATE)


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
    there = next(parent for parent in (out.folder, *out.folder.absolute().parents) if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        why = "cannot be written to" if there.is_dir() else "is no folder"
        raise ConfigError(f"--out {out} cannot be used: {there} {why}; choose another --out")
    if saved is not None:
        if changes := _differences(saved, started):
            raise ConfigError(
                f"{out} holds another {kind.name} ({changes}); continue that one with --resume {out}, or choose "
                f"another --out"
            )
        return
    other = SWEEP if kind is EXPERIMENT else EXPERIMENT
    names = (other.identity, kind.config, other.config, *_RESULTS)
    if found := [name for name in names if (out.folder / name).exists()]:
        what = f"holds another job's {other.name}" if found[0] == other.identity else f"already has a {found[0]}"
        raise ConfigError(f"{out} {what}, which this {kind.name} would overwrite; choose another --out")


def open_folder(out: Place, kind: FolderKind, started: BaseModel) -> str:
    """Make the folder, or find it again. Returns the key that names what is in it in MLflow.

    Raises:
        ConfigError: The folder cannot be written.
        StorageError: The shared storage cannot be.
    """
    identity = out.folder / kind.identity
    try:
        out.folder.mkdir(parents=True, exist_ok=True)
        if not identity.exists():
            save_config(started, out.folder / kind.config)
            identity.write_text(json.dumps({"key": uuid.uuid4().hex}))
            out.push()
        return str(json.loads(identity.read_text())["key"])
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written ({error.strerror}); choose another --out") from None


def is_started(out: Place, kind: FolderKind) -> bool:
    """Say whether something of this kind was started in the folder."""
    return (out.folder / kind.identity).is_file()


def check_resumable(out: Place, kind: FolderKind) -> None:
    """Refuse to continue what is not there.

    Raises:
        ConfigError: The message says what is there instead.
    """
    if is_started(out, kind):
        return
    other = SWEEP if kind is EXPERIMENT else EXPERIMENT
    what = f"it has no {kind.identity}" if out.folder.is_dir() else "there is no such folder"
    if is_started(out, other):
        what = f"it holds {'an experiment' if other is EXPERIMENT else 'a sweep'}"
    raise ConfigError(
        f"there is no {kind.name} to continue in {out}: {what}; --resume takes the folder that the stopped {kind.name} "
        f"had as --out, or made below runs/"
    )


def _differences(saved: BaseModel, started: BaseModel, at_most: int = 3) -> str:
    """Say in which values two configurations differ: ``seed is 0 there, not 5``."""
    old, new = flatten(saved.model_dump(mode="json")), flatten(started.model_dump(mode="json"))
    paths: Sequence[str] = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    told = [f"{path} is {old.get(path)!r} there, not {new.get(path)!r}" for path in paths[:at_most]]
    return ", ".join(told) + (f", and {len(paths) - at_most} more" if len(paths) > at_most else "")
