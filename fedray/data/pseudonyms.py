"""Pseudonyms of patients and files: keyed hashes, whose key never gets into a store.

A store goes to clusters, colleagues and reviewers. Names in it let two of its tiles be told to be one patient's, and no
more: whoever has a list of patients cannot hash it and compare without the key (HMAC, RFC 2104, with SHA-256).
"""

import contextlib
import hmac
import os
import re
import secrets
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from fedray.data.decoding.dicom import PATIENT_KEY_VARIABLE
from fedray.data.store import Names, StoreError
from fedray.storage import private_folder

Kind = Literal["group", "file"]
"""What a name is of: a patient, slide or lesion, or a file."""

_DIGITS = 20  # of a pseudonym, 80 bits: among a million names two are alike once in a trillion imports
_LEAST_KEY = 16
_MAKE_ONE = 'python -c "import secrets; print(secrets.token_hex())"'
_PLAIN = "keep patients' and files' names as they are: --names plain"


class Naming(Protocol):
    """How a store calls patients and files."""

    def __call__(self, kind: Kind, name: str) -> str:
        """Return the name that a store has for one; other ones have other names."""

    def notes(self) -> tuple[str, ...]:
        """Say what who made the store should know of its names."""


@dataclass(frozen=True)
class Pseudonyms:
    """Names hashed with a key; equal names have equal pseudonyms, in every store that is made with the key."""

    key: bytes
    kept_in: str
    """Where the key is, for people."""

    def __call__(self, kind: Kind, name: str) -> str:
        """Return ``group-`` or ``file-`` and 20 hexadecimal digits."""
        text = f"{kind}\0{name}".encode(errors="surrogateescape")
        return f"{kind}-{hmac.digest(self.key, text, 'sha256').hex()[:_DIGITS]}"

    def notes(self) -> tuple[str, ...]:
        """Say where the key is."""
        return (
            f"the store calls patients and files by hashes with the key of {self.kept_in}: keep it to yourself, and as "
            "long as stores must know the same patients again (--names plain keeps the names)",
        )


class PlainNames:
    """Names as they are."""

    def __call__(self, kind: Kind, name: str) -> str:
        """Return the name."""
        return name

    def notes(self) -> tuple[str, ...]:
        """Say nothing: somebody asked for it."""
        return ()


def naming_of(names: Names, environment: Mapping[str, str] = os.environ) -> Naming:
    """Return how a store calls patients and files.

    Raises:
        StoreError: There is no key, none can be made, or others can read it.
    """
    return NAMINGS[names](environment)


def own_pseudonyms(environment: Mapping[str, str] = os.environ) -> Pseudonyms:
    """Return names with the user's key: of the environment's ``FEDRAY_PATIENT_KEY``, else of :func:`key_file`.

    Raises:
        StoreError: It is too short or damaged, others can read its file, or none can be made.
    """
    if value := environment.get(PATIENT_KEY_VARIABLE):
        if len(value) < _LEAST_KEY:
            raise StoreError(
                f"{PATIENT_KEY_VARIABLE} must have at least {_LEAST_KEY} characters, as a shorter one can be guessed, "
                f"but has {len(value)}; make one by {_MAKE_ONE}"
            )
        return Pseudonyms(value.encode(errors="surrogateescape"), PATIENT_KEY_VARIABLE)
    try:
        file = key_file(environment)
        if not file.exists():
            _make_key(file)
        return Pseudonyms(_read_key(file), str(file))
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        raise StoreError(
            f"the key of pseudonyms cannot be read or made ({error}); set {PATIENT_KEY_VARIABLE}, or {_PLAIN}"
        ) from None


NAMINGS: Mapping[Names, Callable[[Mapping[str, str]], Naming]] = {
    "pseudonyms": own_pseudonyms,
    "plain": lambda environment: PlainNames(),
}


def key_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the key is kept: ``~/.config/fedray/patient.key``, in the place of ``XDG_CONFIG_HOME`` if set."""
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "fedray" / "patient.key"


def _make_key(file: Path) -> None:
    """Make a key that this user alone can read; of several at once, one makes it."""
    private_folder(file.parent)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="ascii") as partial:  # of mode 600
        partial.write(secrets.token_hex() + "\n")
        partial.flush()
        with contextlib.suppress(FileExistsError):
            os.link(partial.name, file)


def _read_key(file: Path) -> bytes:
    if file.stat().st_mode & 0o077:
        raise StoreError(
            f"the key of pseudonyms {file} must be readable by you alone: chmod 600 {shlex.quote(str(file))}, or set "
            f"{PATIENT_KEY_VARIABLE}"
        )
    key = file.read_text(encoding="ascii", errors="replace").strip()
    if re.fullmatch(r"[0-9a-f]{64}", key) is None:
        raise StoreError(
            f"the key of pseudonyms {file} is damaged: it must be 64 hexadecimal digits; put a copy there, or remove "
            "it, and stores that are made from then on have other pseudonyms"
        )
    return key.encode()
