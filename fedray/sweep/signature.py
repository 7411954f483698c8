"""Signs what a resume will unpickle, with a key of the user's: else whoever writes into a bucket could run code.

The signature is HMAC-SHA256 (RFC 2104) over the content, in a first line before it.
"""

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from fedray.errors import UserError

SIGNING_KEY = "FEDRAY_SIGNING_KEY"
"""Environment variable with the key, 32 characters or more; unset: the key is in :data:`KEY_FILE`, made when needed."""
KEY_FILE = "~/.fedray/signing-key"
_SHORTEST, _BYTES = 32, 32
_HEAD = b"fedray-signed-1 "
_LINE = len(_HEAD) + 2 * hashlib.sha256().digest_size + 1
_MAKE_ONE = f"make one by `openssl rand -hex 32`, and give it by {SIGNING_KEY} or in {KEY_FILE} (chmod 600)"


class SignatureError(UserError, RuntimeError):
    """What a resume would unpickle cannot be trusted, or no key is there. The message names the rule and the remedy."""


def signed(content: bytes) -> bytes:
    """Return content with its signature before it.

    Raises:
        SignatureError: There is no key, and none can be made.
    """
    return _HEAD + _signature(content) + b"\n" + content


def verified(content: bytes, where: str) -> bytes:
    """Return what was signed.

    Args:
        content: What :func:`signed` returned.
        where: Where it lies, for the message.

    Raises:
        SignatureError: It was not signed, was signed with another key, or was changed since.
    """
    line, inner = content[:_LINE], content[_LINE:]
    if not line.startswith(_HEAD) or line[-1:] != b"\n":
        problem = "is not signed"
    elif not hmac.compare_digest(line[len(_HEAD) : -1], _signature(inner)):
        problem = "was signed with another key than yours, or changed since"
    else:
        return inner
    raise SignatureError(
        f"the state of the sweep in {where} {problem}. It holds pickles, and reading one runs the code that is in it. "
        f"If you know who wrote it, go on with the key of that machine ({SIGNING_KEY}, or its {KEY_FILE}), or add "
        "--trust, which signs it with yours"
    )


def unsigned(content: bytes) -> bytes:
    """Return content without the line of a signature, which is not looked at."""
    return content[_LINE:] if content.startswith(_HEAD) else content


def _signature(content: bytes) -> bytes:
    return hmac.new(_key(), content, hashlib.sha256).hexdigest().encode()


def _key() -> bytes:
    if told := os.environ.get(SIGNING_KEY):
        return _long_enough(told, SIGNING_KEY)
    path = Path(KEY_FILE).expanduser()
    try:
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no ASCII"
        raise SignatureError(
            f"a sweep signs its state with a key, but {path} cannot be read or made ({problem}): {_MAKE_ONE}"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SignatureError(f"{path} is open to other users (mode {mode:o}), who could sign with it: chmod 600 {path}")
    return _long_enough(key, f"the key in {path}")


def _long_enough(key: str, what: str) -> bytes:
    if len(key) < _SHORTEST:
        raise SignatureError(f"{what} must have at least {_SHORTEST} characters, but has {len(key)}: {_MAKE_ONE}")
    return key.encode()


def _make(path: Path) -> None:
    """Write a new key, whole; where another process is faster, its key stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(_BYTES)}\n")
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        os.unlink(partial)
