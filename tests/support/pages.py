"""The code blocks of the pages, as a Markdown parser finds them: fenced with a language, or indented."""

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

SHELL = ("", "sh", "bash", "shell", "console")
"""Languages of blocks that may hold commands; an indented block has none."""


@dataclass(frozen=True)
class Block:
    """A code block; ``line`` is that of its first line of code."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a shell block, as words: without comments, prompt and continuation lines."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words)}"


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in some languages, in order."""
    return [block for page in PAGES for block in blocks_of(page, languages)]


def blocks_of(page: Path, languages: Collection[str]) -> list[Block]:
    """Return the blocks of one page in some languages, in order."""
    found = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block") and token.map is not None:
            first = token.map[0] + (2 if token.type == "fence" else 1)
            found.append(Block(page, first, token.info.split(" ")[0], token.content))
    return [block for block in found if block.language in languages]


def commands(*programs: str) -> list[Command]:
    """Return what the shell blocks run of some programs, also what `ray job submit ... --` hands on."""
    found = [command for block in blocks(*SHELL) for command in _commands(block)]
    found += [
        Command(command.place, command.words[command.words.index("--") + 1 :])
        for command in found
        if command.words[:3] == ("ray", "job", "submit") and "--" in command.words
    ]
    return [command for command in found if command.words and Path(command.words[0]).name in programs]


def _commands(block: Block) -> Iterator[Command]:
    waiting, started = "", 0
    for offset, line in enumerate(block.text.splitlines()):
        started = started if waiting else block.line + offset
        waiting += line.removeprefix("$ ")
        if waiting.endswith("\\"):
            waiting = waiting[:-1] + " "
            continue
        try:
            words = shlex.split(waiting, comments=True)
        except ValueError:  # a table or a message with an apostrophe
            words = []
        waiting = ""
        while words and "=" in words[0] and words[0].split("=")[0].isidentifier():
            words = words[1:]
        yield Command(f"{block.page.relative_to(ROOT)}:{started}", tuple(words))
