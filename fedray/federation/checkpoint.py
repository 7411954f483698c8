"""Checkpoints of a federation: the server's arrays and the clients' private ones, as safetensors; whole or absent."""

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flwr.app import RecordDict
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from fedray.federation.handed import HANDED
from fedray.federation.messages import from_record, to_record
from fedray.federation.state import FederationState
from fedray.learning import Arrays, DivergedError, check_finite
from fedray.storage import DamagedError, digest, in_order, private_folder, sealed, unsealed, whole_folder
from fedray.storage.whole import folder_replaced

FORMAT = 3
"""Of a checkpoint that can be gone on with. Format 2 has no layers that FedBN's clients keep to themselves."""
_SAME_SERVER = (2, FORMAT)  # formats whose server's arrays are alike: a run that is done can be opened again

SERVER_FILES = ("server.safetensors", "state.json")
"""What :func:`load_server` reads of a checkpoint's folder."""

_ROUND = re.compile(r"round-\d+")
_BEST, _TOLD = "best", "told"
_SEPARATOR = "|"  # in no name of ours: parts and optimiser moments are named with dots and slashes


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    state: FederationState
    client_states: dict[int, RecordDict]


def save_checkpoint(
    folder: Path, state: FederationState, client_states: Mapping[int, RecordDict], of: str = ""
) -> None:
    """Write a checkpoint: the folder appears whole, or not at all.

    Args:
        folder: Where to write; a checkpoint that is there already (the same round, run again) is replaced.
        state: The server's state.
        client_states: ``Context.state`` of each client, by node id; its array records are kept, but for
            the tiles that it was handed.
        of: What it is a checkpoint of, in a word: what is another's is not gone on with. Unset: nobody said.

    Raises:
        DivergedError: An array is not finite: nothing is written, and what was there stays.
        OSError: It cannot be written: the disk is full, say. What was there stays.
    """
    files = {
        "server": from_record(state.arrays),
        "optimizer": state.optimizer,
        "clients": _flatten(client_states),
        **({_BEST: state.best} if state.best else {}),
        **({_TOLD: state.told} if state.told else {}),
    }
    for name, arrays in files.items():
        check_finite(arrays, f"checkpoint of round {state.round_index}, {name}")
    header = {
        "format": FORMAT,
        "round_index": state.round_index,
        "validation": state.validation,
        "told": bool(state.told),
        "of": of,
    }
    with whole_folder(folder) as partial:
        for name, arrays in files.items():
            _write(arrays, partial / f"{name}.safetensors")
        header["digests"] = {file.name: digest(file.read_bytes()) for file in sorted(partial.iterdir())}
        (partial / "state.json").write_bytes(sealed(header))


def _write(arrays: Arrays, path: Path) -> None:
    try:
        save_file(in_order(arrays), path)
    except SafetensorError as error:  # it puts the system's error into words
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None


def save_round(folder: Path, state: FederationState, client_states: Mapping[int, RecordDict], of: str = "") -> None:
    """Write the checkpoint of a round beside those before it, then remove those: one is whole at any moment.

    Args:
        folder: Holds the checkpoints, ``round-00001`` and so on. Where it is missing it is made, for this user alone.
        state: As in :func:`save_checkpoint`.
        client_states: As in :func:`save_checkpoint`.
        of: As in :func:`save_checkpoint`.
    """
    target = folder / f"round-{state.round_index:05d}"
    private_folder(folder)
    save_checkpoint(target, state, client_states, of)
    keep_newest(folder)


def keep_newest(folder: Path) -> None:
    """Remove all checkpoints of a folder but the newest; what the system or a person put there stays."""
    newest = latest_round(folder)
    for other in folder.iterdir() if newest else ():
        if other != newest and other.is_dir() and other.name.lstrip(".").startswith("round-"):
            shutil.rmtree(other, ignore_errors=True)  # a file that somebody reads goes next time


def latest_round(folder: Path) -> Path | None:
    """Return the newest checkpoint that :func:`save_round` wrote into a folder, or None where there is none."""
    rounds = [path for path in folder.glob("round-*") if _ROUND.fullmatch(path.name)]
    # A process died between the going of a round's old checkpoint and the coming of its new one.
    aside = folder.glob(folder_replaced(Path("round-*")).name)
    whole = [path for path in rounds if (path / "state.json").is_file()]
    return max(whole, default=None) or max(aside, default=None)


def load_round(folder: Path, of: str) -> Checkpoint | None:
    """Read the newest checkpoint that :func:`save_round` wrote into a folder; None where there is none.

    Raises:
        ValueError: It is of something else than ``of``. Others as of :func:`load_checkpoint`.
    """
    newest = latest_round(folder)
    if newest is None:
        return None
    whose = _read_header(newest, (FORMAT,)).get("of")
    if whose and whose != of:
        raise ValueError(
            f"{newest} is a checkpoint of a run with another configuration ({whose}, and this one's is {of}); put this "
            "run's own back from a copy, or start again with another --out"
        )
    return load_checkpoint(newest)


def keep_server_alone(folder: Path) -> None:
    """Delete of a checkpoint all but what :func:`load_server` reads: nobody goes on with it any more.

    What clients keep is several times as large: moments of optimisers have two numbers for each of a network.
    """
    for path in folder.glob("*.safetensors"):
        if path.name not in SERVER_FILES:
            path.unlink()


def is_server_alone(folder: Path) -> bool:
    """Say whether a checkpoint has what the server had alone, so that nobody can go on with it."""
    return not (folder / "clients.safetensors").exists()


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        DamagedError: A file of it is not what was written.
        ValueError: The folder holds no checkpoint, one of another format, one of a training that diverged, or what the
            server had alone.
    """
    header = _read_header(folder, (FORMAT,))
    if is_server_alone(folder):
        raise ValueError(
            f"{folder} has what the server had alone: its clients' optimisers are gone, for nobody was to go on with "
            "it; begin a new run with its networks by --starts-from"
        )
    beside = [name for name, key in ((_BEST, "validation"), (_TOLD, "told")) if header[key]]
    files = _read(folder, ["server", "optimizer", "clients", *beside], header)
    state = FederationState(
        to_record(files["server"]),
        header["round_index"],
        files["optimizer"],
        header["validation"],
        files.get(_BEST, {}),
        files.get(_TOLD, {}),
    )
    return Checkpoint(state, _nest(files["clients"]))


def load_server(folder: Path) -> tuple[Arrays, int]:
    """Read the server's arrays and the number of their rounds: nothing of what clients keep, which may be large.

    Args:
        folder: Of a checkpoint; of its files only :data:`SERVER_FILES` need be there.

    Raises:
        ValueError: As of :func:`load_checkpoint`.
    """
    header = _read_header(folder, _SAME_SERVER)
    return _read(folder, ["server"], header)["server"], header["round_index"]


def _read_header(folder: Path, formats: Sequence[int]) -> dict[str, Any]:
    try:
        header: dict[str, Any] = unsealed((folder / "state.json").read_bytes(), folder / "state.json")
    except OSError as error:
        raise ValueError(f"{folder} holds no checkpoint of a federation ({error.strerror}: state.json)") from None
    if header["format"] not in formats:
        raise ValueError(
            f"{folder} has checkpoint format {header['format']}, but this FedRay reads format {FORMAT}; go on with the "
            "FedRay that started it, or start anew"
        )
    return header


def _read(folder: Path, names: Iterable[str], header: Mapping[str, Any]) -> dict[str, Arrays]:
    files: dict[str, Arrays] = {}
    for name in names:
        file = folder / f"{name}.safetensors"
        content = file.read_bytes()
        # of a checkpoint that was written before there were digests, none is known
        if digest(content) != header.get("digests", {}).get(file.name, digest(content)):
            raise DamagedError.of(file, "its content is not what was written")
        files[name] = load(content)
    try:
        for name, arrays in files.items():
            check_finite(arrays, name)
    except DivergedError as error:
        raise ValueError(
            f"{folder} holds the weights of a training that diverged ({error}); it cannot be continued: start again, "
            "with another --out"
        ) from None
    return files


def _flatten(client_states: Mapping[int, RecordDict]) -> Arrays:
    return {
        _SEPARATOR.join((str(node), name, array)): value
        for node, records in client_states.items()
        for name, record in records.array_records.items()
        if name != HANDED  # the server hands it out again
        for array, value in from_record(record).items()
    }


def _nest(arrays: Arrays) -> dict[int, RecordDict]:
    nested: dict[int, dict[str, Arrays]] = {}
    for key, value in arrays.items():
        node, name, array = key.split(_SEPARATOR)
        nested.setdefault(int(node), {}).setdefault(name, {})[array] = value
    return {
        node: RecordDict({name: to_record(arrays) for name, arrays in records.items()})
        for node, records in nested.items()
    }
