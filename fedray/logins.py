"""Logins from a file: they belong on no command line, in no job's description and in no log.

``fedray/__init__.py`` settles them. MLflow, S3 and Google's libraries read them from the environment.
"""

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from fedray.errors import UserError

SECRETS = "FEDRAY_SECRETS"
"""Environment variable with the path of a file of ``NAME=VALUE`` lines."""

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_WITH_LOGIN = re.compile(r"(https?://)([^/\s]*)@(.*)")
_URI, _USER, _PASSWORD = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


class SecretsError(UserError, ValueError):
    """The file of secrets cannot be used; the message names it, the rule and the remedy, and no secret."""


def settle_logins() -> None:
    """Give this process, and those it starts, what the file that ``FEDRAY_SECRETS`` names has; what is set stays.

    Where the file cannot be used, :func:`check_secrets` says so. A login that stands in the tracking server's address
    moves to variables of its own: addresses are printed and kept.
    """
    try:
        secrets = read_secrets(os.environ[SECRETS]) if os.environ.get(SECRETS) else {}
    except SecretsError:
        secrets = {}
    for name, value in secrets.items():
        os.environ.setdefault(name, value)
    _part_login_from_address()


def check_secrets() -> None:
    """Look at the file that ``FEDRAY_SECRETS`` names, if it names one.

    Raises:
        SecretsError: It cannot be read, others can read it, or a line is none of ``NAME=VALUE``.
    """
    if os.environ.get(SECRETS):
        read_secrets(os.environ[SECRETS])


def read_secrets(place: str) -> dict[str, str]:
    """Read a file of ``NAME=VALUE`` lines: UTF-8, values as they are or in quotes, comments with ``#`` in front.

    Args:
        place: Its path; ``~`` is the home folder.

    Raises:
        SecretsError: As :func:`check_secrets` has it.
    """
    try:
        with Path(place).expanduser().open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        problem = getattr(error, "strerror", None) or "it is no UTF-8, or there is no such home folder"
        raise SecretsError(f"{SECRETS} names {place}, which cannot be read ({problem}); correct or unset it") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):  # a group may: so Kubernetes mounts secrets
        raise SecretsError(f"{SECRETS} names {place}, which is open to every user (mode {mode:o}): chmod 600 {place}")
    found = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            if (parts := _LINE.fullmatch(line)) is None:
                raise SecretsError(f"{SECRETS} names {place}, whose line {number} is none of NAME=VALUE; correct it")
            found[parts[1]] = _unquoted(parts[2].strip())
    return found


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _part_login_from_address() -> None:
    if parts := _WITH_LOGIN.fullmatch(os.environ.get(_URI, "")):
        scheme, login, rest = parts.groups()
        user, _, password = login.partition(":")
        os.environ[_URI] = scheme + rest
        os.environ.setdefault(_USER, unquote(user))
        os.environ.setdefault(_PASSWORD, unquote(password))
