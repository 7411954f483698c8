"""A sweep's state in one piece: Tune's files of one moment, from which a sweep goes on whatever its end left of them.

Tune writes its files in place and copies them to their storage in the background. A driver that is killed meanwhile
leaves half of one, or an empty one, and Tune would then forget the trials that are not done.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from fedray.results import Place
from fedray.storage import SharedFolder, inside, is_foreign, scratch_folder, write_whole

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
    write_whole(target / WHOLE_STATE, content.getvalue(), through=target.parent)


def put_state_back(out: Place) -> None:
    """Replace Tune's files by those that were kept last, if any were.

    State files that were not kept go: a driver that was killed over its first ones leaves half of one, and Tune goes on
    with the one whose name has the latest date.

    Args:
        out: Of the sweep.

    Raises:
        StorageError: A file of the archive is to lie outside the folder, or the shared storage cannot be read or
            written.
    """
    kept = _read(out)
    if kept is None:
        return
    with ZipFile(BytesIO(kept)) as archive, scratch_folder() as folder:
        whole = archive.namelist()
        for name in whole:  # before the first is written
            inside(Path(out.state), name)
        if out.shared is None:
            archive.extractall(out.state)
            for name in _others((path.name for path in Path(out.state).iterdir()), whole):
                (Path(out.state) / name).unlink()
        else:
            archive.extractall(folder)
            state = SharedFolder(out.state)
            state.upload(folder, whole)
            state.delete(_others(state.names(), whole))


def _others(names: Iterable[str], whole: Sequence[str]) -> list[str]:
    """List the state files (their names are ``...state-DATE...``) that are not among those that were kept."""
    return [name for name in names if "/" not in name and "state-" in name and name not in whole]


def _read(out: Place) -> bytes | None:
    if out.shared is not None:
        return SharedFolder(out.state).read(WHOLE_STATE)
    path = Path(out.state) / WHOLE_STATE
    return path.read_bytes() if path.exists() else None
