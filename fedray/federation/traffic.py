"""What leaves whom: every part of every message is declared beside the round or the strategy that sends it.

``docs/privacy.md`` shows the declarations as tables, and ``tests/federation/test_what_leaves.py`` holds them against
the messages of each round, strategy and task: what is not declared is never sent, and what is declared is.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fedray.config import ExperimentConfig
from fedray.tasks import shared_parts, task_of

Sender = Literal["site", "server"]


@dataclass(frozen=True)
class Part:
    """Some entries of a record of a message.

    Attributes:
        sender: Who sends it.
        message: Flower's type of the message, such as ``train``; of a reply, that of what it replies to.
        record: Name of the record.
        names: Regular expression of the entries' names, matched in full. ``{shared}`` and ``{private}`` stand for the
            parts of the networks that travel, or that stay with the clients, in an experiment.
        what: It is, in words.
        receiver: Who gets it, in words.
        when: It is sent, in words.
        size: How large it is, in words.
    """

    sender: Sender
    message: str
    record: str
    names: str
    what: str
    receiver: str
    when: str
    size: str

    def holds(self, config: ExperimentConfig, name: str) -> bool:
        """Say whether an entry of the record is of this part, in an experiment."""
        parts = {"shared": shared_parts(config), "private": task_of(config).private(config)}
        return re.fullmatch(_filled(self.names, parts), name) is not None


def _filled(pattern: str, parts: Mapping[str, Iterable[str]]) -> str:
    for word, names in parts.items():
        pattern = pattern.replace(f"{{{word}}}", f"(?:{'|'.join(map(re.escape, names))})")
    return pattern


def as_table(parts: Iterable[Part]) -> str:
    """Write declarations as a table of Markdown, a row each."""
    head = ["| who | what | to whom | when | how large |", "|---|---|---|---|---|"]
    rows = [f"| {part.sender} | {part.what} | {part.receiver} | {part.when} | {part.size} |" for part in parts]
    return "\n".join([*head, *rows])
