"""The rooms between data and sweep are for any family of models: hardly a line of theirs knows GANs."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAMILY = ("fedray/tasks/gan/", "fedray/config/gan.py", "fedray/federation/rounds/md_gan.py")
FEWER_THAN = 25
"""Lines, imports from the folder of the family too: the names of its section, of its objective functions and of MD-GAN
in the configuration, what is registered, and functions of PyTorch that take a ``generator``."""

WORD = re.compile(r"(?<![A-Za-z])(gan|Gan|GAN|[Gg]enerator|[Dd]iscriminator)s?(?![a-z])")
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


def test_hardly_a_line_outside_the_family_names_it() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "fedray").rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(FAMILY)
        for number, text in spoken(path)
        if WORD.search(text)
    }
    assert len(found) < FEWER_THAN, sorted(found)
