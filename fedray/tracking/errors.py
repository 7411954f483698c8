"""The one error of tracking, and addresses as they may be shown: without passwords."""

import re
from urllib.parse import unquote, urlsplit

from fedray.errors import UserError

_USERINFO = re.compile(r"//[^/\s]+@")
_SECRET_IN_QUERY = re.compile(r"(?i)((?:password|passwd|token|secret)=)[^&\s]+")
_MIN_SECRET_LENGTH = 4  # a shorter password would blank out half of any sentence
# What MLflow, requests and urllib3 wrap into four lines of class names and addresses.
_PLAIN = {
    "Connection refused": "connection refused",
    "(?i)timed out|timeout exception": "no answer in time",
    "(?i)connection (reset|aborted)|RemoteDisconnected": "the connection broke off",
    "Failed to resolve|Name or service not known": "unknown host",
}


class TrackingError(UserError, RuntimeError):
    """MLflow cannot be reached or refuses; the message names the address, what went wrong and the remedy."""


def shown(uri: str) -> str:
    """Return a tracking address without user, password and tokens; a SQLite file's has none, whatever its folders."""
    if uri.startswith("sqlite"):
        return uri
    return _SECRET_IN_QUERY.sub(r"\1***", _USERINFO.sub("//***@", uri))


def redact(text: str, uri: str) -> str:
    """Take out of a message every secret that stands in the tracking address ``uri``."""
    text = shown(text)
    secret = urlsplit(uri).password or ""
    for form in (secret, unquote(secret)):
        if len(form) >= _MIN_SECRET_LENGTH:
            text = text.replace(form, "***")
    return text


def brief(error: BaseException, uri: str, max_length: int = 300) -> str:
    """Say an error in one short line without secrets; the usual failures of a network in two words."""
    text = redact(" ".join(str(error).split()), uri) or type(error).__name__
    for pattern, plain in _PLAIN.items():
        if re.search(pattern, text):
            return plain
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
