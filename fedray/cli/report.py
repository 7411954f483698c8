"""What a job says to people: what it is about to do, and in the end a table of scores."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedray.cluster.upload import Package
from fedray.evaluation import interval_names, is_of_all_tiles, mode_of, whole_of
from fedray.evaluation.cells import cell_of
from fedray.experiment.judging import Heading, Judge
from fedray.experiment.self_tested import quality_line, self_test_lines, self_test_warnings, spread_lines
from fedray.results import Place
from fedray.results.files import SELF_TEST, SELF_TEST_PICTURE
from fedray.terminal import this_python
from fedray.tracking import UNSENT, Pages, is_kept, ui_command

_LEAN: Any = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}


def print_plan(configuration: str, plan: object, budget: Iterable[str], notes: Iterable[str]) -> None:
    """Print what a dry run says: a configuration as YAML, the rest as comments below it, so that all is one file.

    Args:
        configuration: YAML, with a newline at its end.
        plan: What it gets of the cluster.
        budget: Lines on what it will take.
        notes: What else there is to know.
    """
    print("\n# ".join([f"{configuration}# {plan}", *budget, *notes]))


def print_first(console: Console, package: Package | None, notes: Iterable[str], budget: Iterable[str]) -> None:
    """Print the first lines of a job: what came with it, what there is to know, and what it will take."""
    came = [f"came with the job: {package}"] if package else []
    for line in (*(f"note: {note}" for note in (*came, *notes)), *budget):
        console.print(line, soft_wrap=True)


_CELL_COLUMNS = 6
"""Domains beside each other in 80 columns."""
_USUAL_WIDTH, _NAME_WIDTH = 80, len("coverage/efficientnet-lite0/256")


def print_scores(
    console: Console,
    scores: dict[str, float],
    floor: dict[str, float],
    heading: Heading,
    spent: tuple[float, float] | None = None,
    quality: str = "",
) -> None:
    """Print the final scores beside what they are to be compared with; names of parts continue that of all tiles.

    Args:
        console: Where to.
        scores: By name.
        floor: By name.
        heading: Words above the table.
        spent: Epsilon and delta of all that was released, with differential privacy.
        quality: How far to trust an extractor that was trained on the store, for the line below the table.
    """
    table = Table(
        title=heading.title,
        caption=quality or None,
        caption_justify="left",
        **_LEAN,
    )
    # Scores of all tiles have whole names in 80 columns, and long labels are folded: cut off, they were all alike.
    whole = [len(name) for name in scores if is_of_all_tiles(name)]
    widest = min(_NAME_WIDTH, max(whole, default=0)) if console.width >= _USUAL_WIDTH else None
    table.add_column("score", overflow="fold", min_width=widest)
    table.add_column("better")
    table.add_column(heading.judged, justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column(heading.beside, justify="right", max_width=max(10, *map(len, heading.beside.split())))
    for of_all, names in _together(scores).items():
        for name in names:
            shown = name if name == of_all or of_all not in scores else f"  .../{name.removeprefix(f'{of_all}/')}"
            better = "lower" if mode_of(name) == "min" else "higher"
            reached = f"{floor[name]:.4g}" if name in floor else ""
            table.add_row(shown, better, f"{scores[name]:.4g}", _interval(name, scores), reached)
        table.add_section()
    if spent is not None:
        epsilon, delta = spent
        table.add_row(f"privacy spent: epsilon at delta {delta:g}", "", f"{epsilon:.4g}", "", "")
    console.print(table)
    for cells in _recalls_of_cells(scores):
        console.print(cells)


def _together(scores: Iterable[str]) -> dict[str, list[str]]:
    """Put scores of parts below that of all tiles; what are no scores, and what cells have, stands elsewhere."""
    found: dict[str, list[str]] = {}
    for name in scores:
        if mode_of(name) is not None and cell_of(name) is None:
            found.setdefault(whole_of(name), []).append(name)
    return found


def _recalls_of_cells(scores: Mapping[str, float]) -> Iterator[Table]:
    """Set out the recalls of cells, labels by domains; many domains go on in a further table."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for name, value in scores.items():
        if mode_of(name) is not None and (cell := cell_of(name)) is not None:
            found.setdefault(whole_of(name), {})[cell] = value
    for title, recalls in found.items():
        labels, domains = (list(dict.fromkeys(cell[place] for cell in recalls)) for place in range(2))
        for start in range(0, len(domains), _CELL_COLUMNS):
            some = domains[start : start + _CELL_COLUMNS]
            table = Table(**_LEAN)
            table.add_column(heading := f"{title} in", overflow="fold", min_width=len(heading))
            for domain in some:
                table.add_column(Text(domain), justify="right", overflow="fold")
            for label in labels:
                cells = (recalls.get((label, domain)) for domain in some)
                table.add_row(Text(label), *("" if value is None else f"{value:.3f}" for value in cells))
            yield table


def _interval(name: str, scores: dict[str, float]) -> str:
    ends = [scores[end] for end in interval_names(name) if end in scores]
    return " to ".join(f"{end:.3f}" if abs(end) < 10 else f"{end:.4g}" for end in ends)


def show_self_test(console: Console, evaluator: Judge, folder: Path) -> None:
    """Print what destroyed real tiles score, a line a score, and warn of what scores do not see.

    Args:
        console: Where to.
        evaluator: Of the job.
        folder: Where the whole table is.
    """
    if evaluator.self_test is None:
        return
    console.print(
        "self-test: real tiles destroyed on purpose must score above the same tiles undestroyed", soft_wrap=True
    )
    for line in (*self_test_lines(evaluator.self_test), *spread_lines(evaluator.self_test), quality_line(evaluator)):
        if line:
            console.print(f"  {line}", soft_wrap=True)
    for warning in self_test_warnings(evaluator.self_test):
        console.print(f"warning: {warning}", soft_wrap=True)
    console.print(f"  all of it: {folder / SELF_TEST}, {SELF_TEST_PICTURE}", soft_wrap=True)


def print_pages(console: Console, pages: Pages, tracking_uri: str) -> None:
    """Print pages, a line each, or where there are none the command that opens the UI."""
    for name, page in pages.items():
        console.print(f"{f'In MLflow, {name}:':20} {page}", soft_wrap=True)
    if not pages:
        console.print(f"Look in MLflow:      {ui_command(tracking_uri)}", soft_wrap=True)


def print_unsent(console: Console, out: Place) -> None:
    """Say how MLflow is told what it could not be told, if there is anything."""
    if is_kept(out.address):
        command = f"{this_python()} jobs/sync.py {quote(str(out))}"
        console.print(f"Not in MLflow yet:   what is in {out}/{UNSENT}; {command} sends it", soft_wrap=True)
