"""The accounts of differential privacy of all that was released into one place, over restarts, trials and machines."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fedray.federation import Account, Releases, epsilon_of
from fedray.results.place import Place
from fedray.storage import SharedFolder, StorageError, is_foreign, is_uri, sealed, unsealed, write_whole

FOLDER = "privacy"
"""Folder of a place with a file for each process that released something: none overwrites what another has counted."""

EXPERIMENT_ACCOUNT = "experiment"
"""Name of a single experiment's account; a sweep's trials have their ids."""


@dataclass(frozen=True)
class Ledger:
    """The accounts in a place. It pickles.

    Attributes:
        address: Of the place: a folder, or an address on shared storage.
    """

    address: str

    @classmethod
    def at(cls, place: Place) -> "Ledger":
        """Find the ledger of a place; every machine finds it there."""
        return cls(place.address)

    def account(self, name: str) -> Account:
        """Open an account: it goes on with what was released under its name, and is kept before each release.

        Raises:
            StorageError: What is there cannot be read.
        """
        file = f"{name}.{uuid4().hex}.json"
        return Account(self.releases().get(name), keep=lambda own: self._write(file, own))

    def releases(self) -> dict[str, Releases]:
        """Return all releases until now by the account's name.

        Raises:
            StorageError: They cannot be read.
        """
        found: dict[str, Releases] = defaultdict(Releases)
        for file, content in self._read():
            try:
                counts = unsealed(content, file)["releases"]
                found[file.split(".")[0]].update({float(noise): int(number) for noise, number in counts})
            except (ValueError, KeyError, TypeError):
                raise StorageError(
                    f"{self.address}/{FOLDER}/{file} is no account of releases, and without it nobody knows what was "
                    "spent; put the file back as it was"
                ) from None
        return dict(found)

    def epsilon(self, delta: float) -> float:
        """Return the privacy spent by all accounts together. Errors as in :meth:`releases`."""
        return epsilon_of(self.releases().values(), delta)

    def _write(self, file: str, own: Releases) -> None:
        content = sealed({"releases": sorted(own.items())})
        if is_uri(self.address):
            SharedFolder(f"{self.address}/{FOLDER}").write(file, content)
            return
        folder_here = Path(self.address) / FOLDER
        try:
            folder_here.mkdir(parents=True, exist_ok=True)
            write_whole(folder_here / file, content)
        except OSError as error:
            raise StorageError(
                f"the account of differential privacy cannot be written ({error.strerror}: {folder_here}), and nothing "
                "is released that is not counted; make room there, or choose another --out"
            ) from None

    def _read(self) -> list[tuple[str, bytes]]:
        if is_uri(self.address):
            folder = SharedFolder(f"{self.address}/{FOLDER}")
            return [(file, folder.read(file) or b"") for file in folder.names() if _is_account(file)]
        paths = sorted(path for path in (Path(self.address) / FOLDER).glob("*.json") if _is_account(path.name))
        return [(path.name, path.read_bytes()) for path in paths]


def _is_account(file: str) -> bool:
    return file.endswith(".json") and not is_foreign(file)
