"""Markdown tables, and where they stand in a README."""

from collections.abc import Sequence
from pathlib import Path


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def format_seconds(seconds: float) -> str:
    """Return a duration with three significant digits: ``12.3 ms``, ``4.56 s``."""
    return f"{_three_digits(1000 * seconds)} ms" if seconds < 1 else f"{_three_digits(seconds)} s"


def replace_section(readme: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name:begin -->`` and ``<!-- name:end -->``.

    Raises:
        ValueError: The file has no such comments, or more than one pair.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    content = readme.read_text()
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(begin) > content.index(end):
        raise ValueError(f"{readme} must have one {begin} and after it one {end}")
    before, after = content.split(begin)[0], content.split(end)[1]
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:#.3g}"
