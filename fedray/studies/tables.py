"""The tables of a study: a row's scores over its seeds, held against a baseline and against published figures."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from fedray.evaluation import mode_of, range_of
from fedray.results.statistics import Estimate, difference, estimate
from fedray.studies.definition import Row, Study, Table
from fedray.studies.performing import Outcome
from fedray.studies.steps import Plan, full_name, spelled_out

BySeed = Mapping[int, float]
NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


class Cell(NamedTuple):
    """One score of one row."""

    score: str
    """As the study names it."""
    full: str
    """As the experiment does; empty where all of the row's runs failed."""
    values: BySeed
    mean: Estimate
    against: str
    """Row that it is held against; empty where it is the baseline, or there is none."""
    difference: Estimate | None
    published: float | None


class FilledRow(NamedTuple):
    """A row with its scores."""

    row: Row
    stand_in: str
    """What stands for what (``test_resnet for resnet50``); empty where all is as the study asks."""
    cells: tuple[Cell, ...]
    failed: tuple[str, ...]
    """What went wrong, by seed."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.row.name


class FilledTable(NamedTuple):
    """A table with its rows."""

    table: Table
    rows: tuple[FilledRow, ...]


def fill_tables(study: Study, plan: Plan, outcomes: Mapping[str, Outcome]) -> list[FilledTable]:
    """Fill all tables with what the steps came to; what is not there yet counts in no mean.

    Args:
        study: With its tables.
        plan: Its steps.
        outcomes: By fingerprint.
    """
    return [_filled(study, plan, outcomes, table) for table in study.tables]


def to_frame(tables: list[FilledTable]) -> pd.DataFrame:
    """Return all figures, a line for each score of each row of each table."""
    return pd.DataFrame([line for filled in tables for line in _lines(filled)])


def leading(filled: FilledTable) -> FilledTable:
    """Return a table with its leading score alone."""
    table = filled.table.model_copy(update={"scores": filled.table.scores[:1]})
    return FilledTable(table, tuple(row._replace(cells=row.cells[:1]) for row in filled.rows))


def sentences(filled: FilledTable) -> list[str]:
    """Say of the rows that claim something what was shown, by the leading score, with the rule; nothing of others."""
    lead = filled.table.scores[0]
    claims = [row for row in filled.rows if row.row.synthetic]
    if not claims:
        return []
    told, verdicts = [], []
    for row in claims:
        cell = row.cells[0]
        if cell.difference is None or cell.difference.num < 2:
            told.append(
                f"{row.name}: fewer than two seeds with {cell.against or 'a baseline'}, so nothing can be said."
            )
            continue
        verdict = verdict_of(cell)
        verdicts.append(verdict)
        words = {"better": "better", "worse": "worse", "open": "no difference shown"}[verdict]
        held = f"{signed(cell.difference)} against {cell.against} over {cell.difference.num} seeds"
        told.append(f"{row.name}: {lead} {held}: {words}.")
    rule = (
        f"A difference counts as shown where the 95 % interval of the paired difference over seeds excludes 0 "
        f"({len(verdicts)} comparison(s) here, not corrected for their number)."
    )
    return [_summary(verdicts), *told, rule]


def verdict_of(cell: Cell) -> str:
    """Return 'better', 'worse' or 'open', by whether the interval of the difference excludes 0."""
    if cell.difference is None or not cell.difference.excludes_zero:
        return "open"
    up = cell.difference.mean > 0
    return "better" if up == (mode_of(cell.full) == "max") else "worse"


def signed(found: Estimate) -> str:
    """Write a difference with its interval, if it has one."""
    mean, low, high = (number(value, sign="+") for value in found[:3])
    return f"{mean} [{low}, {high}]" if found.num > 1 else mean


def number(value: float, sign: str = "") -> str:
    """Write a figure as tables show it: three decimals, of large ones fewer."""
    return format(value, f"{sign}.3f" if abs(value) < 10 else f"{sign}.1f")


def _summary(verdicts: list[str]) -> str:
    better, worse = verdicts.count("better"), verdicts.count("worse")
    if not verdicts:
        return "Did synthetic tiles help? There are too few runs to say."
    if better and not worse:
        return (
            f"Did synthetic tiles help? Yes in {better} of {len(verdicts)} rows, on these tiles and with this budget."
        )
    if worse and not better:
        return f"Did synthetic tiles help? No: they did harm in {worse} of {len(verdicts)} rows, and helped in none."
    if worse:
        return f"Did synthetic tiles help? They helped in {better} of {len(verdicts)} rows, and did harm in {worse}."
    return "Did synthetic tiles help? No difference is shown."


def _filled(study: Study, plan: Plan, outcomes: Mapping[str, Outcome], table: Table) -> FilledTable:
    def reached(row: Row) -> dict[int, Outcome]:
        keys = {seed: plan.cells[table.name, row.name, seed] for seed in study.all_seeds}
        return {seed: outcomes[key] for seed, key in keys.items() if key in outcomes}

    found = {row.name: reached(row) for row in table.rows}
    names = (name for row in table.rows for outcome in found[row.name].values() for name in outcome.scores)
    table = table.model_copy(update={"scores": spelled_out(table.scores, names)})
    values = {(row.name, score): _values(row, found[row.name], score) for row in table.rows for score in table.scores}
    rows = []
    for row in table.rows:
        against = row.against or table.baseline or ""
        against = "" if against == row.name else against
        cells = []
        for score in table.scores:
            full, own = values[row.name, score]
            held = difference(own, values[against, score][1]) if against else None
            mean = estimate(list(own.values())).within(*range_of(full)) if own else NOTHING
            cells.append(Cell(score, full, own, mean, against, held, row.published.get(score)))
        failed = [f"seed {seed}: {outcome.failed}" for seed, outcome in found[row.name].items() if outcome.failed]
        rows.append(FilledRow(row, _stand_in(study, row), tuple(cells), tuple(failed)))
    return FilledTable(table, tuple(rows))


def _values(row: Row, outcomes: Mapping[int, Outcome], score: str) -> tuple[str, BySeed]:
    """Return the full name of a score, and its value by seed."""
    full, values = "", dict[int, float]()
    for seed, outcome in outcomes.items():
        scores = outcome.floor if row.trivial else outcome.scores
        if (name := full_name(score, scores)) is not None:
            full, values[seed] = name, scores[name]
    return full, values


def _stand_in(study: Study, row: Row) -> str:
    """Say what stands for what, of the row's own experiment and of the one that makes its tiles."""
    if row.trivial:
        return ""
    told = [f"{own} for {original}" for own, original in study.stand_ins(row.source).values()]
    if (upstream := study.store_of(row.source)) is not None:
        theirs = study.stand_ins(str(study.made_store(upstream)[1].made_by)).values()
        told += [f"tiles: {own} for {original}" for own, original in theirs]
    return ", ".join(told)


def _lines(filled: FilledTable) -> Iterator[dict[str, Any]]:
    for row in filled.rows:
        for cell in row.cells:
            held = cell.difference or NOTHING
            published = math.nan if cell.published is None else cell.published
            yield {
                "table": filled.table.name,
                "row": row.name,
                "stand_in": row.stand_in,
                "score": cell.full or cell.score,
                "seeds": cell.mean.num,
                "mean": cell.mean.mean,
                "low": cell.mean.low,
                "high": cell.mean.high,
                "against": cell.against,
                "difference": held.mean,
                "difference_low": held.low,
                "difference_high": held.high,
                "difference_shown": held.excludes_zero,
                "published": published,
                "minus_published": cell.mean.mean - published,
                "values": list(cell.values.values()),
                "failed": "; ".join(row.failed),
            }
