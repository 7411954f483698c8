"""The page of a judgement: the verdict first, then what it rests on, and how it is made again."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from fedray.evaluation import Evaluator, interval_names, is_of_all_tiles, mode_of
from fedray.evaluation.destruction import PERMUTED
from fedray.evaluation.self_testing import is_of_label
from fedray.randomness import stream
from fedray.reports import REPORTS
from fedray.reports.base import Figure, Finding
from fedray.reports.charts import draw_ladder
from fedray.reports.html import Child, chart, facts, node, page, table, tiles
from fedray.reports.judgement import Judgement
from fedray.reports.pictures import in_rows
from fedray.reports.words import SCORES, called, headline, number, paragraph, state

COLUMNS, SHOWN = 8, 16
"""Tiles in a row, and of a label."""
_DIFFERENCES = 12
_BADGES = {False: "good", True: "bad", None: "open"}


@dataclass(frozen=True, eq=False)
class About:
    """What all judgements of a page share.

    Attributes:
        evaluator: What scored the tiles.
        split: Of the real tiles that they were compared with.
        blind: What a score is blind to on this store, in words, by its name.
        notes: What the reader should know, a sentence each.
        protocol: How it was done, by words.
        versions: Of what decides numbers, by name.
        command: That makes the page again.
        real_tiles: Whether the page may show real tiles.
    """

    evaluator: Evaluator
    split: str
    blind: Mapping[str, str]
    notes: Sequence[str]
    protocol: Mapping[str, str]
    versions: Mapping[str, str]
    command: str
    real_tiles: bool = True


def write_page(judgements: Sequence[Judgement], about: About) -> str:
    """Write a page that needs nothing but itself.

    Args:
        judgements: One or several, all against the same real tiles.
        about: What they share.
    """
    names = [judgement.judged.name for judgement in judgements]
    several = len(judgements) > 1
    store = judgements[0].judged.real.store
    num = about.evaluator.num_samples
    title = " and ".join(names) if len(names) < 3 else f"{len(names)} sets of generated tiles"
    head = [
        node("p", "FedRay · judgement of generated tiles", class_="eyebrow"),
        node("h1", title),
        node("p", f"{num} tiles of {store.tile_size} px each, against {store.name}", class_="under"),
    ]
    body: list[Child] = [*_side_by_side(judgements)] if several else []
    for place, judgement in enumerate(judgements):
        body += _article(judgement, about, f"{place + 1}" if several else "")
    return page(title, *head, *([] if several else [_contents()]), *body, *_protocol(about))


def _contents() -> Element:
    sections = {"tiles": "Tiles", "scores": "Scores", **{name: report.title for name, report in REPORTS.items()}}
    sections |= {"labels": "Label by label", "differences": "What differs most", "protocol": "Protocol"}
    return node("nav", *(node("a", words, href=f"#{name}") for name, words in sections.items()), aria_label="Contents")


def _side_by_side(judgements: Sequence[Judgement]) -> list[Child]:
    scores = [name for name in judgements[0].scores if mode_of(name) is not None and is_of_all_tiles(name)]
    header: list[Child] = ["", *(judgement.judged.name for judgement in judgements), "real tiles"]
    rows: list[list[Child]] = [
        [
            called(name),
            *(_value(name, judgement) for judgement in judgements),
            number(judgements[0].floor.get(name, np.nan)),
        ]
        for name in scores
    ]
    for name, report in REPORTS.items():
        badges = [_badge(judgement.findings[name]) for judgement in judgements]
        rows.append([report.title, *badges, ""])
    caption = "Red: worse than other real tiles in the same place. Each set has its own part below."
    links = [
        node("a", judgement.judged.name, href=f"#set-{place}") for place, judgement in enumerate(judgements, start=1)
    ]
    return [
        node("nav", *links, aria_label="Sets"),
        node("h2", "Side by side"),
        table(header, rows, "Scores and findings of all sets"),
        node("p", caption, class_="note"),
    ]


def _article(judgement: Judgement, about: About, place: str) -> list[Child]:
    """Tell one set of tiles; where there are several, its place in front of the names of its parts."""
    store, num = judgement.judged.real.store, about.evaluator.num_samples
    before = f"set-{place}-" if place else ""
    verdict = node(
        "section",
        node("p", headline(judgement)),
        node("p", paragraph(judgement, num, store.name)),
        node("ul", *(node("li", _badge(finding, REPORTS[name].title)) for name, finding in judgement.findings.items()),
             class_="badges"),
        class_="verdict bad" if judgement.alarms else "verdict",
        aria_label="Verdict",
    )  # fmt: skip
    heading = [node("h2", judgement.judged.name, id=f"set-{place}", class_="set")] if place else []
    return [
        *heading,
        verdict,
        *_tiles(judgement, about, f"{before}tiles"),
        *_scores(judgement, about, f"{before}scores"),
        *(part for name in judgement.findings for part in _finding(judgement, about, name, f"{before}{name}")),
        *_labels(judgement, about, f"{before}labels"),
        *_differences(judgement, f"{before}differences"),
        *([node("h3", "What made the tiles"), facts(judgement.made_by)] if judgement.made_by else []),
    ]


def _badge(finding: Finding, title: str = "") -> Element:
    words = f"{title}: {state(finding)}" if title else state(finding)
    return node("span", words, class_=f"badge {_BADGES[finding.alarm]}")


def _tiles(judgement: Judgement, about: About, anchor: str) -> list[Child]:
    judged, store = judgement.judged, judgement.judged.real.store
    beside = "Held-out real tiles beside generated ones" if about.real_tiles else "Generated tiles, without real ones"
    parts: list[Child] = [
        node("h2", "Tiles", id=anchor),
        node("p", f"{beside}, drawn at random.", class_="question"),
    ]
    held_out = judged.real.held_out
    for label in np.unique(judged.labels).tolist():
        name = store.label_names[label]
        rng = stream(judged.seed, "reports", "shown", label)
        real = rng.permutation(held_out[store.labels[held_out] == label])[:SHOWN]
        made = rng.permutation(np.flatnonzero(judged.labels == label))[:SHOWN]
        both = [("real, held out", store.tiles(real))] if about.real_tiles else []
        both.append(("generated", judged.tiles[made]))
        shown = [
            tiles(in_rows(some, COLUMNS), f"{len(some)} tiles of {name}, {kind}", kind)
            for kind, some in both
            if len(some)
        ]
        parts += [node("h3", name), node("div", *shown, class_="pair")]
    return parts


def _value(name: str, judgement: Judgement) -> Element:
    """A score's value, and whether it is worse than that of real tiles."""
    worse = name in judgement.worse
    return node("span", number(judgement.scores[name]), class_="worse" if worse else "level")


def _scores(judgement: Judgement, about: About, anchor: str) -> list[Child]:
    scores = [name for name in judgement.scores if mode_of(name) is not None and is_of_all_tiles(name)]
    rows = [_score_row(name, judgement, about) for name in scores]
    before = ["score", "better", "generated", "95 % interval", "real tiles"]
    header = [*before, *judgement.ceilings, "blind to, on these tiles"]
    parts: list[Child] = [
        node("h2", "Scores", id=anchor),
        node("p", "How far are the tiles from real ones, and real ones from each other?", class_="question"),
        table(header, rows, "Scores of all tiles", words=(0, 1, len(header) - 1)),
        node("p", "Real tiles: what as many other real tiles score in the place of generated ones; tiles as good as "
             "real ones score about this. Red is worse than that. Beside them: real tiles blurred, "
             "cut and shuffled, or one grey. Blind to: faults that do not worsen the score where they are put into "
             "real tiles on purpose.", class_="note"),
    ]  # fmt: skip
    return [*parts, *map(chart, ladders(judgement, about))]


def _score_row(name: str, judgement: Judgement, about: About) -> list[Child]:
    kind = name.partition("/")[0]
    words: list[Child] = [SCORES.get(kind, (kind, ""))[0], node("span", name, class_="protocol")]
    ends = [judgement.scores[end] for end in interval_names(name) if end in judgement.scores]
    better = "lower" if mode_of(name) == "min" else "higher"
    interval = " to ".join(map(number, ends))
    return [
        node("span", *words, title=SCORES.get(kind, ("", ""))[1]), better, _value(name, judgement), interval,
        number(judgement.floor.get(name, np.nan)),
        *(number(scores.get(name, np.nan)) for scores in judgement.ceilings.values()),
        about.blind.get(name, "not tested"),
    ]  # fmt: skip


def ladders(judgement: Judgement, about: About) -> list[Figure]:
    """Draw, a picture a distance, where the tiles stand among real ones destroyed on purpose."""
    test = about.evaluator.self_test
    if test is None:
        return []
    figures = []
    for name in (score for score in test.floor if is_of_all_tiles(score) and score in judgement.scores):
        kind = name.partition("/")[0]
        values = {tiles: scores[name] for tiles, scores in test.scores.items() if tiles != PERMUTED}
        real, ours = (test.floor[name], *test.intervals[name]), judgement.scores[name]
        better = [tiles for tiles, value in values.items() if value > ours]
        figures.append(Figure(
            f"destroyed-{kind}",
            draw_ladder(values, real, ours, name),
            f"{SCORES.get(kind, (kind, ''))[0]} of real tiles that were destroyed on purpose, the best score on top: "
            f"generated tiles score better than {len(better)} of {len(values)} such sets. Green: where other real "
            "tiles score, 95 times of 100.",
            f"{name} of generated tiles, real ones, and real ones destroyed in {len(values)} ways",
            real_tiles=False,
        ))  # fmt: skip
    return figures


def shown_figures(finding: Finding, real_tiles: bool) -> list[Figure]:
    """Pick the figures that stand where real tiles may be seen, or may not."""
    return [figure for figure in finding.figures if real_tiles or not figure.real_tiles]


def _finding(judgement: Judgement, about: About, name: str, anchor: str) -> list[Child]:
    report, finding = REPORTS[name], judgement.findings[name]
    shown = next(iter(finding.tables.values()))
    return [
        node("h2", report.title, id=anchor),
        node("p", report.question, class_="question"),
        node("p", _badge(finding), " ", node("span", finding.verdict, class_="finding")),
        *map(chart, shown_figures(finding, about.real_tiles)),
        frame(shown, f"{report.title}: {', '.join(map(str, shown.columns))}"),
    ]


def _labels(judgement: Judgement, about: About, anchor: str) -> list[Child]:
    """A row a label, a column a kind of score."""
    store, scores = judgement.judged.real.store, judgement.scores
    of_labels = [name for name in scores if is_of_label(name) and mode_of(name) is not None]
    kinds = list(dict.fromkeys(name.partition("/label/")[0] for name in of_labels))
    if not kinds:
        return []
    counts = np.bincount(judgement.judged.labels, minlength=len(store.label_names))
    rows: list[list[Child]] = []
    for label, name in enumerate(store.label_names):
        cells = [_beside(f"{kind}/label/{name}", judgement) for kind in kinds]
        if counts[label]:
            rows.append([name, f"{counts[label]}", *cells])
    header: list[Child] = ["label", "tiles", *(node("span", called(kind)) for kind in kinds)]
    return [
        node("h2", "Label by label", id=anchor),
        node("p", "Is one label worse than the others?", class_="question"),
        table(header, rows, "Scores of each label"),
        node("p", "In brackets: other real tiles. A label has no score where it has too few tiles, or where permuted "
             "labels would not worsen it.", class_="note"),
    ]  # fmt: skip


def _beside(name: str, judgement: Judgement) -> Child:
    if name not in judgement.scores:
        return "-"
    floor = judgement.floor.get(name)
    return node("span", _value(name, judgement), "" if floor is None else f" ({number(floor)})")


def _differences(judgement: Judgement, anchor: str) -> list[Child]:
    shown = judgement.differences.head(_DIFFERENCES)
    rows: list[list[Child]] = [
        [str(row["statistic"]), f"{row['distance']:.2g}", number(row["floor"]), f"{row['shift']:+.2g}"]
        for row in shown.to_dict("records")
    ]
    return [
        node("h2", "What differs most", id=anchor),
        node("p", "In which statistics of stain, colour and texture are they not like real tiles?", class_="question"),
        table(["statistic", "distance", "other real tiles", "shift of the mean"], rows, "Statistics that differ most"),
        node("p", "Wasserstein's distance between the statistic's values over generated and over real tiles, in "
             "standard deviations of the real ones.", class_="note"),
    ]  # fmt: skip


def _protocol(about: About) -> list[Child]:
    return [
        node("h2", "Protocol", id="protocol"),
        node("p", "How this was done, and how it is done again.", class_="question"),
        *([node("ul", *(node("li", note) for note in about.notes), class_="notes")] if about.notes else []),
        facts(about.protocol),
        node("h3", "Versions"),
        facts(about.versions),
        node("h3", "The same page again"),
        node("pre", about.command),
    ]


def frame(data: pd.DataFrame, label: str) -> Element:
    """Show a table of numbers and words, numbers with three digits, the ends of an interval in one column with it."""
    names = list(dict.fromkeys(str(name).removesuffix(", low").removesuffix(", high") for name in data.columns))
    rows = [[_cell(name, row) for name in names] for row in data.to_dict("records")]
    return table(names, rows, label)


def _cell(name: str, row: Mapping[Hashable, object]) -> str:
    value = row.get(name)
    shown = number(value) if isinstance(value, float) else "" if value is None else _word(value)
    if f"{name}, low" not in row:
        return shown
    interval = " to ".join(number(float(str(row[f"{name}, {end}"]))) for end in ("low", "high"))
    return f"{shown} ({interval})" if shown else interval


def _word(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return str(value)
