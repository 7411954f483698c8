"""Networks that another run left, or a file has: what an experiment may begin with. Only its driver reads them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError, safe_open

from fedray.errors import UserError
from fedray.learning import Arrays, DivergedError, check_finite
from fedray.results.basis import START, Basis
from fedray.results.finished import RUN_ID, Finished
from fedray.results.kept import ResultsError
from fedray.storage import SharedFolder, in_order, is_uri, scratch_folder

SUFFIX = ".safetensors"
LABELS, DOMAINS = "labels", "domains"
"""Keys of a file's metadata: JSON lists of names, in the order of their entries in the arrays."""

_REMEDY = (
    "give the results folder of a finished run, its s3:// or gs:// address, the id of its MLflow run (32 hexadecimal "
    f"digits), or a {SUFFIX} file"
)


class StartError(UserError, ValueError):
    """An experiment cannot start from what it is to. The message names it, what is wrong, and the remedy."""


@dataclass(frozen=True, eq=False)
class Start:
    """Networks that an experiment may begin with; :meth:`open` makes one. It pickles.

    Attributes:
        place: What the user called it.
        arrays: Of the networks, by name.
        label_names: Of the labels, in the order of their entries in these arrays; None: a file does not say.
        domain_names: Of the domains; None: a file does not say.
        run: Whose they are; None of a file.
    """

    place: str
    arrays: Arrays
    label_names: tuple[str, ...] | None
    domain_names: tuple[str, ...] | None
    run: Finished | None = None

    @classmethod
    def open(cls, place: str) -> "Start":
        """Read networks; nothing is unpickled.

        Args:
            place: A results folder, its ``s3://`` or ``gs://`` address, the id of an MLflow run (32 hexadecimal
                digits) where jobs track, or the path or address of a ``.safetensors`` file.

        Raises:
            StartError: There is none of these, it is not finished or damaged, or an array of it is not finite.
            StorageError: The shared storage does not answer.
            TrackingError: MLflow does not answer, or knows no such run.
        """
        if place.endswith(SUFFIX):
            return _of_file(place)
        if not is_uri(place) and not RUN_ID.fullmatch(place) and not Path(place).expanduser().is_dir():
            what = "is a file of another kind" if Path(place).expanduser().exists() else "is not there"
            raise StartError(f"starts_from {place} {what}; {_REMEDY}")
        try:
            run = Finished.open(place if is_uri(place) else str(Path(place).expanduser()))
        except ResultsError as error:
            raise StartError(f"starts_from: {error}") from None
        return cls(place, run.arrays, run.tiles.label_names, run.tiles.domain_names, run)

    @cached_property
    def digest(self) -> str:
        """Hash of all that an experiment takes of it, 32 hexadecimal digits: the same wherever it lies."""
        content = hashlib.sha256(json.dumps([self.label_names, self.domain_names], ensure_ascii=False).encode())
        for name, array in in_order(dict(sorted(self.arrays.items()))).items():
            content.update(json.dumps([name, array.dtype.str, array.shape]).encode())
            content.update(array.tobytes())
        return content.hexdigest()[:32]


def opened_start(place: str | None) -> Start | None:
    """Open what an experiment starts from, if it does. Errors as of :meth:`Start.open`."""
    return None if place is None else Start.open(place)


def rests_on(start: Start | None) -> Basis:
    """Say what a job rests on that starts from something: its content, not where it lies."""
    return {} if start is None else {START: start.digest}


def absolute_start(place: str | None) -> str | None:
    """Return the absolute path of what is on this machine, for a job that goes on elsewhere; all else as it is."""
    if place is None or is_uri(place) or not Path(place).expanduser().exists():
        return place
    return str(Path(place).expanduser().resolve())


def _of_file(place: str) -> Start:
    with _local(place) as path:
        try:
            with safe_open(path, framework="np") as file:
                arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
                said = file.metadata() or {}
            check_finite(arrays, "its arrays")
        except OSError as error:
            raise StartError(f"starts_from {place} cannot be read ({error.strerror or error}); {_REMEDY}") from None
        except (SafetensorError, TypeError) as error:  # TypeError: a number format that NumPy has not
            raise StartError(
                f"starts_from {place} cannot be read as safetensors of float32 and whole numbers ({error}); write it "
                "again, or bring it back from a copy"
            ) from None
        except DivergedError as error:
            raise StartError(f"starts_from {place} is of a training that diverged: {error}") from None
    return Start(place, arrays, _names(place, said, LABELS), _names(place, said, DOMAINS))


def _names(place: str, said: Mapping[str, str], key: str) -> tuple[str, ...] | None:
    if key not in said:
        return None
    try:
        names = json.loads(said[key])
    except ValueError:
        names = None
    good = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    if not good or not names:
        raise StartError(
            f"starts_from {place} must say its {key} as a JSON list of different names in its metadata, but says "
            f"{said[key]!r}; write it again"
        )
    return tuple(names)


@contextmanager
def _local(place: str) -> Iterator[Path]:
    """Give a file of this machine; one at an address is copied here for the moment."""
    if not is_uri(place):
        yield Path(place).expanduser()
        return
    folder, _, name = place.rpartition("/")
    with scratch_folder() as copies:
        SharedFolder(folder).download([name], copies)
        yield copies / name
