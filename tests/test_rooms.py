"""The rooms between data and sweep are for any family of models: hardly a line of theirs knows one."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fedray.config import TASKS

ROOT = Path(__file__).parents[1]


class Family(NamedTuple):
    """A family of models, and how often the rooms may say its name."""

    own: tuple[str, ...]
    word: re.Pattern[str]
    fewer_than: int


FAMILIES = {
    # Imports from the folder of the family too: the names of its section, of its objective functions and of MD-GAN in
    # the configuration, what is registered, and functions of PyTorch that take a ``generator``.
    "gan": Family(
        ("fedray/federation/rounds/md_gan.py",),
        re.compile(r"(?<![A-Za-z])(gan|Gan|GAN|[Gg]enerator|[Dd]iscriminator)s?(?![a-z])"),
        25,
    ),
    "flow": Family((), re.compile(r"(?<![A-Za-z])([Ff]low)(?![a-z])"), 10),
}
TENANTS = tuple(place for name in TASKS for place in (f"fedray/tasks/{name}/", f"fedray/config/{name}.py"))
"""What is no room between data and sweep."""

LAYOUT = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a file's names and strings by line: no comment, no docstring, and not Python's or NumPy's ``Generator``."""
    before = tokenize.ENCODING
    with path.open("rb") as file:
        for token in tokenize.tokenize(io.BytesIO(file.read()).readline):
            if token.type == tokenize.NAME and token.string != "Generator":
                yield token.start[0], token.string
            elif token.type == tokenize.STRING and before not in LAYOUT:
                yield from enumerate(token.string.split("\n"), token.start[0])
            if token.type != tokenize.COMMENT:
                before = token.type


@pytest.mark.parametrize("name", FAMILIES)
def test_hardly_a_line_outside_the_family_names_it(name: str) -> None:
    family = FAMILIES[name]
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "fedray").rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(TENANTS + family.own)
        for number, text in spoken(path)
        if family.word.search(text)
    }
    assert found, "some line registers it"
    assert len(found) < family.fewer_than, sorted(found)
