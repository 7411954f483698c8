"""The self-test as people see it: lines at a job's start, table, picture, and the words of what a score is blind to.

All read :class:`fedray.evaluation.SelfTest`, or the table that a run leaves of it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fedray.evaluation import SelfTest
from fedray.evaluation.destruction import DESTRUCTIONS, PERMUTED
from fedray.evaluation.self_testing import REAL, State, is_of_label
from fedray.experiment.judging import Judge
from fedray.results.files import SELF_TEST, SELF_TEST_PICTURE
from fedray.storage import parquet_bytes, picture_bytes, read_table, scratch_folder, write_whole
from fedray.tracking import TrackedRun

if TYPE_CHECKING:  # imported where it draws: every trial imports this room, and matplotlib costs it half a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLIND_TAG = "fedray.score-blind-to"
QUALITY_TAG = "fedray.extractor-quality"

NEAREST_SHOWN = 3
"""Destroyed sets, those that score best, that a line at the start names."""
WORDS_SHOWN = 4
"""Things that a score is blind to, at the most, that a sentence names."""


def self_test_lines(test: SelfTest) -> list[str]:
    """Say, a line a score of all tiles, what real tiles score and which destroyed ones come nearest."""
    lines = []
    for score in _of_all_tiles(test):
        tested = {tiles: test.scores[tiles][score] for tiles in _asked(test)}
        nearest = sorted(tested, key=lambda tiles: tested[tiles])[:NEAREST_SHOWN]
        named = ", ".join(f"{tiles} {tested[tiles]:.3g}" for tiles in nearest)
        lines.append(f"{score}: real {test.floor[score]:.3g}, up to {test.intervals[score][1]:.3g}; nearest {named}")
    return lines


def spread_lines(test: SelfTest) -> list[str]:
    """Say which destroyed sets scores see, but would not in a generator's place, with so few tiles."""
    return [
        f"{' and '.join(scores)}: raised by {in_words(within)}, but no further than {scores[0].split('/')[2]} other "
        "real tiles may reach; more tiles would tell them apart"
        for within, scores in _alike(test, test.within_spread)
    ]


def quality_line(evaluator: Judge) -> str:
    """Say how well an extractor that was trained on the store tells its labels apart; nothing for another one."""
    quality = evaluator.quality
    if evaluator.extractor is None or quality is None or quality.num_test == 0:
        return ""
    return (
        f"{evaluator.extractor.name} tells labels apart: balanced accuracy {quality.balanced_accuracy:.3g} on "
        f"{quality.num_test} test tiles (guessing: {quality.trivial_balanced_accuracy:.3g})"
    )


def quality_tags(evaluator: Judge) -> dict[str, str]:
    """Return the tag of a run that says how well the extractor that judges it tells labels apart, if it was trained."""
    line = quality_line(evaluator)
    return {QUALITY_TAG: line} if line else {}


def self_test_warnings(test: SelfTest) -> list[str]:
    """Say in sentences what each score of all tiles does not see, and which labels have no score."""
    warnings = [
        f"{' and '.join(scores)} {'are' if len(scores) > 1 else 'is'} blind to {in_words(blind)}: real tiles destroyed "
        "so score no worse than before, and so would a generator's; look at the pictures too"
        for blind, scores in _alike(test, test.blind_to)
    ]
    warnings += [
        f"{score} takes {far} ({test.scores[far][score]:.3g}) for no worse than {near} "
        f"({test.scores[near][score]:.3g}), though more is destroyed: its order says little there"
        for score in _of_all_tiles(test)
        for near, far in test.misordered(score)
    ]
    by_features: dict[str, list[str]] = {}
    for void in sorted(test.void):
        protocol, _, label = void.partition("/label/")
        by_features.setdefault(protocol, []).append(label)
    warnings += [
        f"no score in {features} is shown for the label(s) {', '.join(labels)} alone: permuted labels do not worsen "
        "it, so it would say nothing about them"
        for features, labels in by_features.items()
    ]
    return warnings


def in_words(blind: Sequence[str]) -> str:
    """Name destroyed sets as what a score does not see: "a blur of 1 px and noise"."""
    named = [DESTRUCTIONS[tiles].unseen for tiles in blind[:WORDS_SHOWN]]
    if len(blind) > WORDS_SHOWN:
        named.append(f"{len(blind) - WORDS_SHOWN} more")
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def blind_words(folder: Path, score: str) -> str:
    """Say what a score is blind to, by the table in the folder of a run; empty: to nothing tested, or there is none."""
    path = folder / SELF_TEST
    if not path.is_file():
        return ""
    table = read_table(path)
    blind = table[(table["score"] == score) & (table["state"] == "blind")]["tiles"].tolist()
    return f"blind to {in_words(blind)}" if blind else ""


def blind_tags(test: SelfTest | None) -> dict[str, str]:
    """Return the tag of a run that says what its scores of all tiles are blind to."""
    if test is None:
        return {}
    found = {score: test.blind_to(score) for score in _of_all_tiles(test)}
    told = [f"{score}: {', '.join(blind)}" for score, blind in found.items() if blind]
    return {BLIND_TAG: "; ".join(told) or "nothing tested"}


def self_test_table(test: SelfTest) -> pd.DataFrame:
    """Tabulate a self-test, a row a set and score.

    Returns:
        Columns: tiles (the set), score, value, floor_low and floor_high (in which the floor is), low and high (in which
        as many other real tiles score), rise (above the floor), rise_low and rise_high (its interval), state (seen,
        within the spread, blind; empty where it is no fault: real tiles, and permuted labels in a score of all tiles),
        skipped (why a set does not apply).
    """
    columns = ["tiles", "score", "value", "floor_low", "floor_high", "low", "high",
               "rise", "rise_low", "rise_high", "state", "skipped"]  # fmt: skip
    spread = {score: (*test.floor_intervals[score], *test.intervals[score]) for score in test.floor}
    rows: list[tuple[object, ...]] = [
        (REAL, score, value, *spread[score], 0.0, 0.0, 0.0, "", "") for score, value in test.floor.items()
    ]
    for tiles, scores in test.scores.items():
        for score, value in scores.items():
            state = test.state(tiles, score) if tiles != PERMUTED or is_of_label(score) else ""
            rise = (value - test.floor[score], *test.rises[tiles][score])
            rows.append((tiles, score, value, *spread[score], *rise, state, ""))
    for tiles, reason in test.skipped.items():
        missing = [np.nan] * 3
        rows += [(tiles, score, np.nan, *spread[score], *missing, "", reason) for score in test.floor]
    return pd.DataFrame(rows, columns=columns)


def keep_self_test(test: SelfTest | None, folder: Path) -> None:
    """Write table and picture into the folder of the results."""
    if test is not None:
        write_whole(folder / SELF_TEST, parquet_bytes(self_test_table(test)))
        write_whole(folder / SELF_TEST_PICTURE, picture_bytes(draw_self_test(test), dpi=120))


def log_self_test(run: TrackedRun, test: SelfTest | None, folder: Path) -> None:
    """Log the picture, and the table as CSV, which MLflow shows as a table."""
    if test is None:
        return
    run.log_artifact(folder / SELF_TEST_PICTURE)
    with scratch_folder() as scratch:
        shown = (scratch / SELF_TEST).with_suffix(".csv")
        self_test_table(test).to_csv(shown, index=False)
        run.log_artifact(shown)


def draw_self_test(test: SelfTest) -> "Figure":
    """Draw the scores of all tiles, a panel a score: destroyed sets on a logarithmic axis, real tiles as a band."""
    from matplotlib.figure import Figure

    scores = _of_all_tiles(test)
    figure = Figure(figsize=(4.8 * len(scores) + 0.4, 4.2), layout="constrained")
    for axis, score in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores, strict=True):
        _draw_score(axis, test, score)
    return figure


def _draw_score(axis: "Axes", test: SelfTest, score: str) -> None:
    values = {REAL: test.floor[score]} | {tiles: test.scores[tiles][score] for tiles in _asked(test)}
    low, high = test.intervals[score]
    names = list(values)[::-1]
    for place, tiles in enumerate(names):
        colour = "tab:green" if tiles == REAL else _COLOURS[test.state(tiles, score)]
        axis.plot(values[tiles], place, "o", color=colour)
        axis.annotate(f"{values[tiles]:.3g}", (values[tiles], place), (6, -3), textcoords="offset points", fontsize=7)
    if np.isfinite([low, high]).all() and high > low:
        axis.axvspan(low, high, color="tab:green", alpha=0.15)
        # Around zero the axis is linear, as far as real tiles scatter: kernel distances of real tiles fall below it.
        axis.set_xscale("symlog", linthresh=10.0 ** round(np.log10((high - low) / 2)))
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.margins(x=0.15)
    explained = "red: blind; orange: within what real tiles score (green)"
    axis.set_title(f"{score}\n{explained}", fontsize=9, parse_math=False)


_COLOURS: dict[State, str] = {"seen": "tab:blue", "within the spread": "tab:orange", "blind": "tab:red"}


def _alike(test: SelfTest, sets_of: Callable[[str], list[str]]) -> list[tuple[tuple[str, ...], list[str]]]:
    """Name scores of all tiles together of which the same sets are said; those of which none is are left out."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for score in _of_all_tiles(test):
        alike.setdefault(tuple(sets_of(score)), []).append(score)
    return [(sets, scores) for sets, scores in alike.items() if sets]


def _of_all_tiles(test: SelfTest) -> list[str]:
    return [score for score in test.floor if not is_of_label(score)]


def _asked(test: SelfTest) -> list[str]:
    """Sets that concern scores of all tiles."""
    return [tiles for tiles in test.scores if tiles != PERMUTED]
