"""Options that are lists of users' words: read as they are typed, and written in messages so that they can be typed."""

import csv
import shlex
from collections.abc import Iterable

from fedray.data.store import StoreError

_NEEDS_QUOTES = {",", '"', "\n", "\r"}


def parse_list(text: str) -> list[str]:
    """Parse ``a,b,c``; a part with a comma stands in double quotes."""
    return [part.strip() for part in next(csv.reader([text], skipinitialspace=True), [])]


def parse_pairs(text: str, option: str, form: str) -> dict[str, str]:
    """Parse ``a=b,c=d``; a pair with a comma stands in double quotes. ``form`` shows it in the message.

    Raises:
        StoreError: A part is no pair, or a left side is repeated or empty.
    """
    pairs: dict[str, str] = {}
    for part in parse_list(text):
        left, equals, right = (side.strip() for side in part.partition("="))
        if not equals or not left or left in pairs:
            raise StoreError(f"{option} must be pairs {form}, each left side once, but got {part!r} in {text!r}")
        pairs[left] = right
    return pairs


def typed(option: str, parts: Iterable[str]) -> str:
    """Write an option with its list as a shell takes it: the inverse of :func:`parse_list`, whatever the words hold."""
    quoted = ('"' + part.replace('"', '""') + '"' if _NEEDS_QUOTES & {*part} else part for part in parts)
    return f"{option} {shlex.quote(','.join(quoted))}"
