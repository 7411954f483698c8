"""The rooms between data and sweep are for any family of models: how many of their lines still know GANs."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAMILY = ("fedray/tasks/gan/", "fedray/config/gan.py", "fedray/federation/md_gan.py")
CEILING = 168
"""What was counted last, imports from the folder of the family too: lower it with every line less; the aim is 25."""

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


def test_fewer_and_fewer_lines_outside_the_family_name_it() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "fedray").rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(FAMILY)
        for number, text in spoken(path)
        if WORD.search(text)
    }
    assert len(found) <= CEILING, sorted(found)
