"""The tables of a study as Markdown, and as one page of HTML that needs no network."""

import html
from collections.abc import Callable, Sequence
from functools import partial

from fedray.studies.definition import Study
from fedray.studies.tables import FilledRow, FilledTable, number, sentences, signed

_NOTES = "Synthetic tiles"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top; }
th:first-child, td:first-child { text-align: left; min-width: 11rem; }
thead th { border-bottom: 2px solid #888; }
td small { color: #666; white-space: nowrap; display: block; }
.shown { font-weight: 600; }
.failed { color: #a00; }
.verdict { border-left: 4px solid #888; padding: .1rem 1rem; }
"""


def to_markdown(study: Study, tables: Sequence[FilledTable], notes: Sequence[str] = ()) -> str:
    """Write all tables as Markdown, and below them what is to be known of the synthetic tiles, a line each."""
    parts = [f"# {study.name}", study.about.strip(), _reading(study)]
    for filled in tables:
        parts += [f"## {filled.table.name}", filled.table.about.strip(), _markdown_table(filled)]
        told = [f"failed: {row.name}, {why}" for row in filled.rows for why in row.failed]
        parts.append("\n".join(f"- {line}" for line in (*sentences(filled), *told)))
    if notes:
        parts += [f"## {_NOTES}", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_html(study: Study, tables: Sequence[FilledTable], notes: Sequence[str] = ()) -> str:
    """Write all tables as a page of HTML: its style is in it, and it loads nothing."""
    parts = [f"<h1>{_text(study.name)}</h1>", *_paragraphs(study.about), f"<p>{_text(_reading(study))}</p>"]
    for filled in tables:
        parts += [f"<h2>{_text(filled.table.name)}</h2>", *_paragraphs(filled.table.about), _html_table(filled)]
        if told := sentences(filled):
            parts.append(f'<div class="verdict">{"".join(f"<p>{_text(line)}</p>" for line in told)}</div>')
        parts += [
            f'<p class="failed">failed: {_text(row.name)}, {_text(why)}</p>'
            for row in filled.rows
            for why in row.failed
        ]
    if notes:
        parts += [f"<h2>{_NOTES}</h2>", f"<ul>{''.join(f'<li>{_text(note)}</li>' for note in notes)}</ul>"]
    head = f'<meta charset="utf-8"><title>{_text(study.name)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _reading(study: Study) -> str:
    seeds = ", ".join(map(str, study.all_seeds))
    return (
        f"Budget {study.budget}, seeds {seeds}. A figure is the mean over seeds with its 95 % interval (Student's t); "
        "a difference is that of runs with equal seeds, paired, and in bold where its interval excludes 0."
    )


def table_texts(filled: FilledTable) -> tuple[list[str], list[list[tuple[str, bool]]]]:
    """Return a table's headings, and of each row its texts, each with whether it is a difference that is shown.

    Columns that would be empty are left out.
    """
    columns: list[tuple[str, Callable[[FilledRow], tuple[str, bool]]]] = [
        ("", lambda row: (row.name, False)),
        ("seeds", lambda row: (_num_seeds(row), False)),
        ("stand-in", lambda row: (row.stand_in, False)),
    ]
    for place, score in enumerate(filled.table.scores):
        columns += [
            (score, partial(_mean_text, place)),
            ("difference", partial(_difference_text, place)),
            ("published", partial(_published_text, place)),
            ("ours - published", partial(_from_published_text, place)),
        ]
    columns.append(("difference to", lambda row: (row.cells[0].against, False)))
    found = [(heading, [text(row) for row in filled.rows]) for heading, text in columns]
    kept = found[:1] + [(heading, texts) for heading, texts in found[1:] if any(text for text, _ in texts)]
    rows = [list(row) for row in zip(*(texts for _, texts in kept), strict=True)]
    return [heading for heading, _ in kept], rows


def _mean_text(place: int, row: FilledRow) -> tuple[str, bool]:
    found = row.cells[place].mean
    if found.num == 0:
        return "-", False
    ends = f" [{number(found.low)}, {number(found.high)}]" if found.num > 1 else ""
    return number(found.mean) + ends, False


def _difference_text(place: int, row: FilledRow) -> tuple[str, bool]:
    held = row.cells[place].difference
    return ("", False) if held is None else (signed(held), held.excludes_zero)


def _published_text(place: int, row: FilledRow) -> tuple[str, bool]:
    published = row.cells[place].published
    return ("" if published is None else number(published)), False


def _from_published_text(place: int, row: FilledRow) -> tuple[str, bool]:
    cell = row.cells[place]
    if cell.published is None or cell.mean.num == 0:
        return "", False
    return number(cell.mean.mean - cell.published, sign="+"), False


def _num_seeds(row: FilledRow) -> str:
    return "/".join(dict.fromkeys(str(cell.mean.num) for cell in row.cells))


def _markdown_table(filled: FilledTable) -> str:
    columns, rows = table_texts(filled)
    lines = [_line(columns), _line(["---"] + ["---:"] * (len(columns) - 1))]
    for row in rows:
        lines.append(_line([f"**{text}**" if shown and text else text for text, shown in row]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _html_table(filled: FilledTable) -> str:
    columns, rows = table_texts(filled)
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_html_cell(*cell) for cell in row)}</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _html_cell(text: str, shown: bool) -> str:
    """Write a figure with its interval below it."""
    value, bracket, interval = text.partition(" [")
    small = f"<small>[{_text(interval)}</small>" if bracket else ""
    return f"<td{' class=shown' if shown else ''}>{_text(value)}{small}</td>"


def _paragraphs(text: str) -> list[str]:
    return [f"<p>{_text(part)}</p>" for part in text.strip().split("\n\n") if part]


def _text(value: str) -> str:
    return html.escape(value)
