"""The one way from users' words to what MLflow takes: labels are data, and no two of them may share a key.

MLflow allows letters, digits and ``_-./ :`` in a key, 250 characters, and refuses what a file system would read as
another path (``a//b``, ``../a``, ``/a``). Everything else is written as a name between colons, after HTML's, so that
``Ki67<14%`` becomes ``Ki67:lt:14:percnt:``. A colon itself is ``:colon:``, which makes the way back certain.
"""

import hashlib
import re
from typing import NamedTuple

MAX_NAME_LENGTH = 250
"""Characters of a run's name in MLflow's database."""

_SPELLED = {
    "!": "excl", '"': "quot", "#": "num", "$": "dollar", "%": "percnt", "&": "amp", "'": "apos", "(": "lpar",
    ")": "rpar", "*": "ast", "+": "plus", ",": "comma", ":": "colon", ";": "semi", "<": "lt", "=": "equals",
    ">": "gt", "?": "quest", "@": "commat", "[": "lsqb", "\\": "bsol", "]": "rsqb", "^": "Hat", "`": "grave",
    "{": "lcub", "|": "verbar", "}": "rcub", "~": "tilde", "±": "plusmn", "°": "deg", "≤": "le", "≥": "ge",
    ".": "period", " ": "sp",
}  # fmt: skip
_EMPTY = "empty"
_CHARACTERS = {spelling: character for character, spelling in _SPELLED.items()} | {_EMPTY: ""}
_DIGEST_LENGTH = 16  # 64 bits: no two names of any experiment meet by chance


class _Keys(NamedTuple):
    """What a kind of key may hold."""

    mark: str
    """Stands around what is spelled, and is spelled itself."""
    not_allowed: re.Pattern[str]
    max_length: int


_KEYS = _Keys(":", re.compile(r"[^\w\-./ ]"), 250)  # MLflow's rule, and its database's columns
_PICTURES = _Keys(".", re.compile(r"[^a-zA-Z0-9_\-/ ]"), 120)  # a file's name, with 110 characters of MLflow's in it


def mlflow_key(name: str) -> str:
    """Return the key under which MLflow keeps a metric, parameter or tag of this name.

    Different names have different keys, of at most 250 characters; a name that MLflow allows is its own key. What is
    too long is cut, and ends with a digest of the whole name: ``:cut-0123456789abcdef:``.
    """
    return _key(name, _KEYS)


def picture_key(name: str) -> str:
    """Return the same for a series of pictures, whose keys are ASCII and begin file names: dots for colons."""
    return _key(name, _PICTURES)


def name_of_key(key: str) -> str:
    """Return the name that :func:`mlflow_key` made a key of; a name that was cut comes back cut, with its mark."""
    return re.sub(r":(\w+):", lambda found: _character(found[1]), key)


def storable(text: str, max_length: int) -> str:
    r"""Return a text as MLflow's databases take it, cut to a length: what UTF-8 cannot say is written ``\udc80``."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")[:max_length]


def _key(name: str, keys: _Keys) -> str:
    key = "/".join(_part(part, keys) for part in name.split("/"))
    if len(key) <= keys.max_length:
        return key
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    end = f"{keys.mark}cut-{digest}{keys.mark}"
    return key[: keys.max_length - len(end)] + end


def _part(part: str, keys: _Keys) -> str:
    """Spell one part of a name, between two slashes."""
    if not part:
        return f"{keys.mark}{_EMPTY}{keys.mark}"
    spelled = [_spelled(character, keys) if keys.not_allowed.match(character) else character for character in part]
    if part[0] in ". ":  # '.' and '..' are folders, and some databases drop blanks at an end
        spelled[0] = _spelled(part[0], keys)
    if part[-1] == " ":
        spelled[-1] = _spelled(" ", keys)
    return "".join(spelled)


def _spelled(character: str, keys: _Keys) -> str:
    return f"{keys.mark}{_SPELLED.get(character) or f'u{ord(character):x}'}{keys.mark}"


def _character(spelling: str) -> str:
    if spelling in _CHARACTERS:
        return _CHARACTERS[spelling]
    return chr(int(spelling[1:], 16)) if re.fullmatch("u[0-9a-f]+", spelling) else f":{spelling}:"
