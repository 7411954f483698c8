"""What a submitted job takes along to its cluster: source text, and never a picture or a store of them."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedray.cluster.contents import not_text
from fedray.config import DataConfig
from fedray.data import DATASETS
from fedray.errors import UserError
from fedray.storage import is_uri

_NUM_NAMED = 5
UPLOAD_REMEDY = (
    "move them out of the folder, or let .rayignore keep them back (FedRay's own lists what may travel); data go by "
    "jobs/prepare_data.py --upload s3://BUCKET/PATH"
)
"""For a user who is told of what is no source text."""


class UploadError(UserError, ValueError):
    """A job brought what must not travel, or misses what did not. The message names it, and the remedy."""


@dataclass(frozen=True)
class Package:
    """What travels.

    Attributes:
        folder: The working folder.
        sizes: Bytes of each file, by its path in the folder.
        refused: What those files are that are no text, by path.
    """

    folder: Path
    sizes: Mapping[str, int]
    refused: Mapping[str, str]

    def __str__(self) -> str:
        """Count the files and bytes, in all and of each folder at the top."""
        parts: dict[str, int] = defaultdict(int)
        for name, size in self.sizes.items():
            parts[name.split("/")[0]] += size
        largest = sorted(parts.items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {size_text(size)}" for name, size in largest[:_NUM_NAMED])
        told += f" and {len(parts) - _NUM_NAMED} more" if len(parts) > _NUM_NAMED else ""
        return f"{len(self.sizes):,} file(s), {size_text(sum(self.sizes.values()))}: {told}"

    def what_is_refused(self) -> str:
        """Name the files that are no text, the largest first; empty where all is as it should be."""
        names = sorted(self.refused, key=lambda name: -self.sizes[name])
        told = [f"{name} ({self.refused[name]}, {size_text(self.sizes[name])})" for name in names[:_NUM_NAMED]]
        told += [f"{len(names) - _NUM_NAMED} more"] if len(names) > _NUM_NAMED else []
        return ", ".join(told)


def to_be_sent(folder: Path) -> Package:
    """Find what ``ray job submit --working-dir FOLDER`` would send, by Ray's own rules and code. Nothing is sent."""
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import _dir_travel, _get_excludes

    files: list[Path] = []
    excludes = [_get_excludes(folder, get_runtime_env_default_excludes())]
    quiet = logging.getLogger(__name__)  # Ray tells its own of every file that ignores others
    _dir_travel(folder.absolute(), excludes, files.append, include_gitignore=True, logger=quiet)
    return _package(folder.absolute(), [path for path in files if path.is_file()])


def submitted_folder() -> Path | None:
    """Return the folder that came with the Ray job which this process belongs to; None in no such job."""
    here = Path.cwd()
    return here if "working_dir_files" in here.parts and "runtime_resources" in here.parts else None


def was_sent(folder: Path) -> Package:
    """Look at a folder that came with a job; byte code that Python has made in it since is left out."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return _package(folder, [path for path in files if path.parent.name != "__pycache__" or path.suffix != ".pyc"])


def check_upload(data: DataConfig) -> Package | None:
    """Refuse to go on in a submitted job that brought pictures along, or whose data were left behind.

    Args:
        data: The job's.

    Returns:
        What came with the job; None where this is no submitted job.

    Raises:
        UploadError: The message names files and sizes, or the path, and the remedy.
    """
    folder = submitted_folder()
    if folder is None:
        return None
    package = was_sent(folder)
    if refused := package.what_is_refused():
        raise UploadError(
            f"the submitted folder holds {len(package.refused)} file(s) that are no source text: {refused}. They are "
            f"in the cluster's memory now, and in {folder}, until that Ray ends: end it. Before the next job, "
            f"{UPLOAD_REMEDY}"
        )
    local = data.store not in DATASETS and not is_uri(data.store)
    if local and not Path(data.store).expanduser().exists():
        raise UploadError(
            f"data.store is {data.store!r}, a path, but a submitted job sees the cluster's files only, and no tiles "
            "travel with it: copy the store by jobs/prepare_data.py --upload s3://BUCKET/PATH and name that address, "
            "or name a folder that the cluster's machines mount"
        )
    return package


def _package(folder: Path, files: list[Path]) -> Package:
    named = {path.relative_to(folder).as_posix(): path for path in sorted(files)}
    kinds = {name: kind for name, path in named.items() if (kind := _kind(path))}
    return Package(folder, {name: path.stat().st_size for name, path in named.items()}, kinds)


def _kind(path: Path) -> str | None:
    try:
        return not_text(path)
    except OSError as error:
        return f"a file that cannot be read: {error.strerror}"


def size_text(num_bytes: int) -> str:
    """Say a size in the unit that suits it."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes} B"
