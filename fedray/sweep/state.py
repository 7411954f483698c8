"""A sweep's state in one piece: Tune's files of one moment, from which a sweep goes on whatever its end left of them.

Tune writes its files in place and copies them to their storage in the background. A driver that is killed meanwhile
leaves half of one, or an empty one, and Tune would then forget the trials that are not done.

Tune's files hold pickles. Those that a sweep goes on with are the ones that were signed with the user's key; others are
deleted unread (:mod:`~fedray.sweep.signature`).
"""

from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from fedray.results import Place
from fedray.storage import SharedFolder, inside, is_foreign, scratch_folder, write_whole
from fedray.sweep.signature import signed, unsigned, verified

WHOLE_STATE = "whole-state.zip"
"""Beside Tune's own files."""


def keep_state(files: Path, target: Path) -> None:
    """Put the files of a folder into an archive in another one, or in the same: all of them, or the archive as it was.

    Args:
        files: The folder of the files; folders in it are left out.
        target: The folder of the archive; made if it is not there.
    """
    target.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        for file in sorted(files.iterdir()):
            if file.name != WHOLE_STATE and not is_foreign(file.name) and file.is_file():
                archive.write(file, file.name)
    # The partial file beside the folder: Tune uploads what is in it, at any time.
    write_whole(target / WHOLE_STATE, signed(content.getvalue()), through=target.parent)


def check_state(out: Place) -> None:
    """Look whether what a sweep would go on with was signed with the user's key; of one that has not begun, nothing is.

    Raises:
        SignatureError: It was not.
        StorageError: The shared storage cannot be read.
    """
    if (kept := _read(out)) is not None:
        verified(kept, str(out))


def trust_state(out: Place) -> None:
    """Sign what a sweep would go on with, whoever wrote it: the user says that it can be trusted.

    Raises:
        SignatureError: There is no key.
        StorageError: The shared storage cannot be read or written.
    """
    if (kept := _read(out)) is None:
        return
    content = signed(unsigned(kept))
    if out.shared is None:
        write_whole(Path(out.state) / WHOLE_STATE, content, through=Path(out.state).parent)
        return
    with scratch_folder() as folder:
        write_whole(folder / WHOLE_STATE, content)
        SharedFolder(out.state).upload(folder, [WHOLE_STATE])


def kept_files(out: Place) -> dict[str, bytes]:
    """Return what a sweep would go on with, by the names of the files; nothing of one that has not begun.

    Raises:
        SignatureError: It was not signed with the user's key.
        StorageError: The shared storage cannot be read.
    """
    if (kept := _read(out)) is None:
        return {}
    with ZipFile(BytesIO(verified(kept, str(out)))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put_state_back(out: Place) -> bool:
    """Replace Tune's files by those that were kept last, if any were, and delete the others that hold pickles.

    Those are state files of another moment (a driver that was killed over its first ones leaves half of one, and Tune
    goes on with the one whose name has the latest date), and the errors of trials, of which Tune keeps the text too.

    Args:
        out: Of the sweep.

    Returns:
        Whether there is a state to go on with.

    Raises:
        SignatureError: What was kept was not signed with the user's key.
        StorageError: A file of the archive is to lie outside the folder, or the shared storage cannot be read or
            written.
    """
    whole = kept_files(out)
    for name in whole:  # before the first is written
        inside(Path(out.state), name)
    if out.shared is None:
        _put_back(Path(out.state), whole)
    else:
        _put_back_on(SharedFolder(out.state), whole)
    return bool(whole)


def _put_back(state: Path, whole: Mapping[str, bytes]) -> None:
    if not state.exists():
        return
    for name, content in whole.items():
        write_whole(state / name, content, through=state.parent)
    files = (path.relative_to(state).as_posix() for path in state.rglob("*") if not path.is_dir())
    for name in _others(files, whole):
        (state / name).unlink()


def _put_back_on(state: SharedFolder, whole: Mapping[str, bytes]) -> None:
    with scratch_folder() as folder:
        for name, content in whole.items():
            write_whole(folder / name, content)
        state.upload(folder, list(whole))
    state.delete(_others(state.names(), whole))


def _others(names: Iterable[str], whole: Collection[str]) -> list[str]:
    """List what may hold pickles and is not among what was kept: ``...state-DATE...``, ``*.pkl`` in any folder."""
    return [
        name
        for name in names
        if name not in whole and (name.endswith(".pkl") or ("/" not in name and "state-" in name))
    ]


def _read(out: Place) -> bytes | None:
    if out.shared is not None:
        return SharedFolder(out.state).read(WHOLE_STATE)
    path = Path(out.state) / WHOLE_STATE
    return path.read_bytes() if path.exists() else None
