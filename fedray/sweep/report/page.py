"""The page of a sweep: the best trial and what can be said of the search first, then what it rests on."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd

from fedray.experiment.pages import headlines
from fedray.reports.base import Figure
from fedray.reports.html import Child, chart, facts, node, page, table, tiles
from fedray.reports.words import number
from fedray.results.files import FLOOR
from fedray.sweep.report.figures import Swept
from fedray.sweep.report.importance import METHODS
from fedray.sweep.report.previews import Row
from fedray.sweep.report.words import by_compared, compared_words, ending, how_few, order_of, what_mattered
from fedray.sweep.searcher import SECONDS
from fedray.terminal import clock

_SECTIONS = {
    "trials": "Trials",
    "mattered": "What mattered",
    "values": "Over the values",
    "course": "How it went",
    "tiles": "Best, median and worst",
    "time": "What it took",
    "protocol": "Protocol",
}


@dataclass(frozen=True, eq=False)
class About:
    """What a page says beside charts.

    Attributes:
        store: Name of the tiles.
        protocol: How it was done, by words.
        versions: Of what decides numbers, by name.
        command: That makes the page again.
    """

    store: str
    protocol: Mapping[str, str]
    versions: Mapping[str, str]
    command: str


def write_page(swept: Swept, figures: Mapping[str, Figure], pictures: Sequence[Row], about: About) -> str:
    """Write a page that needs nothing but itself.

    Args:
        swept: The sweep.
        figures: Its charts, by name.
        pictures: Of the best trial, the median and the worst, as far as there are any.
        about: What else stands there.
    """
    space, num = swept.space, len(swept.trials)
    under = f"{num} trials over {len(space.search)} searched values, by {swept.words}, on {about.store}"
    head = [
        node("p", "FedRay · sweep", class_="eyebrow"),
        node("h1", space.name),
        node("p", under, class_="under"),
        node("nav", *(node("a", words, href=f"#{name}") for name, words in _SECTIONS.items()), aria_label="Contents"),
        _verdict(swept),
    ]
    parts: list[Child] = [
        *_section("trials", "Which values gave which scores, and what do real tiles score?"),
        _trials(swept),
        *_section("mattered", "Which searched value decides the score, and how sure is that?"),
        *_mattered(swept, figures),
        *_section("values", "How do scores lie over the values?"),
        *_charts(figures, ("slices", "contour"), "Fewer than two trials have scores that compare."),
        *_section("course", "Did the search get better, and what was stopped early?"),
        *_charts(figures, ("history", "curves", "timeline"), "No trial has a score."),
        *_section("tiles", "What do the scores look like?"),
        *_pictures(swept, pictures),
        *_section("time", "Where did the time go?"),
        *_time(swept, figures),
        *_section("protocol", "How this was done, and how the page is made again."),
        facts(about.protocol),
        node("h3", "Versions"),
        facts(about.versions),
        node("h3", "The same page again"),
        node("pre", about.command),
    ]
    return page(f"Sweep {space.name}", *head, *parts)


def _section(name: str, question: str) -> list[Child]:
    return [node("h2", _SECTIONS[name], id=name), node("p", question, class_="question")]


def _charts(figures: Mapping[str, Figure], names: Sequence[str], instead: str) -> list[Child]:
    shown: list[Child] = [chart(figures[name]) for name in names if name in figures]
    return shown or [node("p", instead)]


def _verdict(swept: Swept) -> Element:
    groups = by_compared(swept.importance)
    mattered = what_mattered(groups[0] if groups else swept.importance)
    sentences = (_best(swept), mattered, how_few(swept.trials, len(swept.space.search)))
    return node("section", *(node("p", words) for words in sentences), class_="verdict", aria_label="Verdict")


def _best(swept: Swept) -> str:
    trials = swept.trials
    if trials.empty or trials["outcome"].iloc[0] != "complete":
        return "No trial ran all its rounds."
    best = trials.iloc[0]
    values = ", ".join(f"{path.rpartition('.')[2]} {_shown(best[path])}" for path in swept.space.search if path in best)
    beside = f"; real tiles score {number(swept.floor)}" if swept.floor == swept.floor else ""
    return f"Best: trial {best['trial']} with {number(float(best['score']))}{beside} ({values})."


def _trials(swept: Swept) -> Element:
    trials, goal = swept.trials, swept.space.goal.metric
    scores = {"score": "score"} | {
        heading: name for heading, name in headlines(map(str, trials)).items() if name != goal
    }
    paths = [path for path in swept.space.search if path in trials]
    seconds = ["seconds"] if SECONDS in trials else []
    header: list[Child] = ["trial", "ended", *scores, *(path.rpartition(".")[2] for path in paths), *seconds]
    rows: list[list[Child]] = []
    for row in trials.to_dict("records"):
        name = f"{row['trial']}{' *' if row['start_point'] else ''}"
        cells = [_shown(row[column]) for column in (*scores.values(), *paths)]
        rows.append([name, ending(row), *cells, *(_shown(row[SECONDS], ".0f") for _ in seconds)])
    if floor := [_shown(trials[FLOOR + name].iloc[0]) if FLOOR + name in trials else "" for name in
                 (goal, *list(scores.values())[1:])]:  # fmt: skip
        rows.insert(0, ["real tiles", "(floor)", *floor, *("" for _ in (*paths, *seconds))])
    return table(header, rows, "Trials, best first", words=(0, 1))


def _mattered(swept: Swept, figures: Mapping[str, Figure]) -> list[Child]:
    groups = by_compared(swept.importance)
    if not groups:
        return [node("p", what_mattered(swept.importance))]
    parts: list[Child] = []
    for rows, name in zip(groups, ("importance", "importance-more"), strict=False):
        words = compared_words(rows)
        parts += [
            node("h3", f"For {words}"),
            node("p", what_mattered(rows)),
            chart(figures[name]),
            _importance_table(rows, words),
        ]
    parts += [node("p", _TWICE, class_="note")] if len(groups) > 1 else []
    return [*parts, node("p", _METHODS, class_="note")]


_TWICE = (
    "Early stopping leaves the better trials to the end: what made the others bad is seen where all of them were "
    "scored, and what decides among the good ones in the end."
)
_METHODS = (
    "fANOVA (Hutter et al. 2014) is the share of the score's variance over the whole search space that a value "
    "explains by itself, by a random forest of the trials; what is missing to 1 is the interplay of values, and it is "
    "about bad trials as much as about good ones. PED-ANOVA (Watanabe et al. 2023, Optuna's default since version 5) "
    "says how far the values of the best trials differ from those of all. Where the two disagree, a value may ruin "
    "trials without telling good ones from the best. Both by Optuna, on the scales that the values are searched on; "
    "chance is that of each value by itself."
)


def _importance_table(rows: pd.DataFrame, words: str) -> Element:
    header: list[Child] = ["value", *(part for method in METHODS for part in (method, "90 % interval", "chance"))]
    cells = {(row["method"], row["parameter"]): row for row in rows.to_dict("records")}
    body: list[list[Child]] = []
    for name in order_of(rows):
        line: list[Child] = [name]
        for method in METHODS:
            line += _importance_cells(cells.get((method, name)))
        body.append(line)
    return table(header, body, f"Importance for {words}")


def _importance_cells(row: Mapping[Hashable, Any] | None) -> list[Child]:
    if row is None:
        return ["-", "", ""]
    beyond = node("span", f"{row['importance']:.2f}", class_="level" if row["importance"] > row["chance"] else "note")
    return [beyond, f"{row['low']:.2f} to {row['high']:.2f}", f"{row['chance']:.2f}"]


def _pictures(swept: Swept, pictures: Sequence[Row]) -> list[Child]:
    outcomes = swept.trials["outcome"]
    rest = int((outcomes != "complete").sum())
    parts: list[Child] = []
    for row in pictures:
        parts += [node("h3", row.label)] if row.label else []
        shown = (tiles(each.png, f"{row.label or 'Answers'}, {each.words}", each.words) for each in row.pictures)
        parts.append(node("div", *shown, class_="side"))
    if not pictures:
        parts.append(node("p", "No picture was kept: the checkpoints of the trials are gone."))
    if rest:
        note = (
            f"Best, median and worst are those of the {len(outcomes) - rest} trials that ran all their rounds. Of the "
            f"{rest} that were stopped or failed no network is kept, and no picture here; their runs in MLflow have "
            "one of each scored round."
        )
        parts.append(node("p", note, class_="note"))
    return parts


def _time(swept: Swept, figures: Mapping[str, Figure]) -> list[Child]:
    spent = swept.spent
    if spent is None:
        return [node("p", "This sweep was run by a FedRay that did not record the times of its rounds.")]
    per_lane = {
        "training": spent.training_s,
        "scoring": spent.scoring_s,
        "other": spent.other_s,
        "waiting": spent.waiting_s,
    }
    entries = {
        "from the first round to the last": clock(spent.wall_s),
        "trials at a time, at the most": str(spent.lanes),
        **{f"{name}, all trials together": clock(seconds) for name, seconds in per_lane.items()},
        "core hours": f"{spent.core_s / 3600:.3g}, of cores that workers held while rounds ran",
        **({"GPU hours": f"{spent.gpu_s / 3600:.3g}"} if spent.gpu_s else {}),
        **({"left out": f"{clock(spent.paused_s)} in which the sweep was stopped"} if spent.paused_s else {}),
    }
    return [chart(figures["where"]), facts(entries)]


def _shown(value: Any, form: str = ".3g") -> str:
    if value is None or value != value:  # not a number
        return ""
    return format(value, form) if isinstance(value, float) else str(value)
