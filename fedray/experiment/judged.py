"""Judging finished runs and tiles from elsewhere: what is judged, the page and its files, and their runs in MLflow."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.data import StoreError, TileStore
from fedray.data.given import GivenTiles
from fedray.evaluation import Evaluator
from fedray.experiment.judging.samples import wanted
from fedray.experiment.scoring import choose
from fedray.experiment.self_tested import (
    blind_tags,
    in_words,
    keep_self_test,
    log_self_test,
    quality_line,
    self_test_warnings,
    spread_lines,
)
from fedray.experiment.tracked import KIND
from fedray.randomness import torch_stream
from fedray.reports import Judged, RealTiles
from fedray.reports.base import Figure
from fedray.reports.judgement import Judgement, judge, score_table
from fedray.reports.sheet import About, shown_figures, write_page
from fedray.results.finished import Finished
from fedray.storage import parquet_bytes, scratch_folder, write_whole
from fedray.terminal import without_folders
from fedray.tracking import TrackedRun, Tracker, code_version_tags, code_versions

PAGE, SCORES, DIFFERENCES, FIGURES = "report.html", "scores.parquet", "differences.parquet", "figures"
"""Files of the results, beside a table or more of each report."""
SET = "set"
"""Column of every table that says whose row it is."""

_AT_A_TIME = 256
_TIMED = 32
_OTHERS_S = 25.0
"""CPU seconds of what does not hang on the number of tiles: charts, the map, scores."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Tiles that are to be judged.

    Attributes:
        name: What the user calls them.
        tiles: uint8 [n, H, W, C].
        labels: int64 [n].
        made_by: What made them, by words.
        run_id: Of the MLflow run that made them, if one did.
        notes: What the user should know of them.
    """

    name: str
    tiles: NDArray[np.uint8]
    labels: NDArray[np.int64]
    made_by: Mapping[str, str]
    run_id: str = ""
    notes: tuple[str, ...] = ()


def check_fits(finished: Finished, store: TileStore) -> None:
    """Refuse real tiles that a run's tiles cannot be held against.

    Raises:
        StoreError: Their size, channels, labels or domains are not those that it learned from.
    """
    learned = finished.tiles
    pairs = {
        "size": (f"{learned.size} px", f"{store.tile_size} px"),
        "channels": (str(learned.channels), str(store.channels)),
        "labels": (", ".join(learned.label_names), ", ".join(store.label_names)),
        "domains": (", ".join(learned.domain_names), ", ".join(store.domain_names)),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise StoreError(
                f"{finished.place} makes tiles whose {what} {'is' if what == 'size' else 'are'} {theirs}, but "
                f"{store.name} has {ours}; judge it against the store that it learned from, or one imported alike"
            )


def of_run(
    name: str, finished: Finished, config: ExperimentConfig, store: TileStore, seed: int, device: str
) -> Subject:
    """Make the tiles that are compared with a run's network: one for each real tile, of its label and domain.

    Args:
        name: What the user calls it.
        finished: The run; it fits the store.
        config: Of the judgement, settled.
        store: The real tiles.
        seed: Of the noise.
        device: Where the network computes.

    Raises:
        ResultsError: The run makes no tiles.
    """
    (labels, domains), sampler = wanted(config), finished.sampler(device)
    parts = [
        sampler.sample(labels[start : start + _AT_A_TIME], torch_stream(seed, "judged", start),
                       domains[start : start + _AT_A_TIME])
        for start in range(0, len(labels), _AT_A_TIME)
    ]  # fmt: skip
    made_by = {
        "run": finished.run_id,
        "results": without_folders(finished.place),
        "task": finished.config.task,
        "learned": f"{finished.config.federation.mode}, {finished.rounds} rounds, seed {finished.config.seed}",
        "partition": finished.config.partition.scheme,
        "privacy": "differentially private" if finished.config.privacy.on else "none",
        "noise": f"seed {seed}",
    }
    note = "" if finished.tiles.fingerprint == store.fingerprint else (
        f"{name} learned from other tiles than those of {store.name}: whether it copies its own is not asked"
    )  # fmt: skip
    return Subject(name, np.concatenate(parts), labels, made_by, finished.run_id, (note,) if note else ())


def of_given(name: str, given: GivenTiles, config: ExperimentConfig, store: TileStore, seed: int) -> Subject:
    """Draw as many of somebody's tiles as are compared.

    Raises:
        EvaluationError: A label has too few.
        StoreError: A tile cannot be read, or is of another size.
    """
    chosen = choose(given.labels, store, config.evaluation, seed)
    made_by = {"tiles": name, "drawn": f"{len(chosen):,} of {len(given.labels):,}, seed {seed}"}
    return Subject(name, given.read(chosen), given.labels[chosen], made_by, notes=given.notes)


def real_tiles(store: TileStore, evaluator: Evaluator) -> RealTiles:
    """Take the real tiles, in the features of an evaluator."""
    extractor, device = evaluator.extractor, evaluator.device
    return RealTiles(store, extractor.name, lambda tiles: extractor.features(tiles, device))


def cost_s(real: RealTiles, num_tiles: int, num_subjects: int) -> float:
    """Estimate the CPU seconds of a judgement, by the time that the features of a few tiles take."""
    from fedray.reports.memorisation import num_measured

    some = real.store.tiles(real.some_training[:_TIMED])
    began = time.process_time()
    real.features(some)
    each = (time.process_time() - began) / max(1, len(some))
    return _OTHERS_S * num_subjects + each * (num_measured(real) + 9 * num_tiles * num_subjects)


def judge_all(
    subjects: Sequence[Subject],
    real: RealTiles,
    evaluator: Evaluator,
    config: ExperimentConfig,
    seed: int,
    on_progress: Callable[[str], None],
) -> list[Judgement]:
    """Judge one set of tiles after another; what is measured of real tiles is measured once."""
    judgements = []
    for subject in subjects:
        judged = Judged(subject.name, subject.tiles, subject.labels, real, seed)
        steps = f"{subject.name}: " if len(subjects) > 1 else ""
        told = lambda what, steps=steps: on_progress(f"{steps}{what}")  # noqa: E731
        judgements.append(judge(judged, subject.made_by, evaluator, config.evaluation, told))
    return judgements


def about(
    subjects: Sequence[Subject],
    real: RealTiles,
    evaluator: Evaluator,
    config: ExperimentConfig,
    seed: int,
    command: str,
) -> About:
    """Say how the judgement was made, and what its scores do not see."""
    store, test = real.store, evaluator.self_test
    blind = {} if test is None else {score: _blind(test.blind_to(score)) for score in test.floor}
    notes = [note for subject in subjects for note in subject.notes]
    notes += [] if test is None else [*map(_sentence, self_test_warnings(test)), *map(_sentence, spread_lines(test))]
    groups = f"{len(set(store.groups.tolist())):,} ({store.group_kind})"
    protocol = {
        "real tiles": f"{store.name}, {store.source}",
        "fingerprint": store.fingerprint,
        "training, test": f"{len(real.training):,} and {len(store.indices('test')):,} tiles; groups: {groups}",
        "compared": f"{evaluator.num_samples} {config.evaluation.split} tiles, each label as often on both sides",
        "extractor": f"{evaluator.extractor.name}, weights {evaluator.extractor.identity[:12]}",
        **({"its quality": quality} if (quality := quality_line(evaluator)) else {}),
        "held-out control": f"{len(real.held_out)} test tiles",
        "seed": str(seed),
    }  # fmt: skip
    return About(evaluator, config.evaluation.split, blind, notes, protocol, code_versions(), command)


def write_judgements(judgements: Sequence[Judgement], about: About, folder: Path) -> list[Path]:
    """Write the page, its figures, and its tables as Parquet.

    Returns:
        What was written, tables and page first.
    """
    keep_self_test(about.evaluator.self_test, folder)
    tables: dict[str, list[pd.DataFrame]] = {}
    figures: list[Path] = []
    (folder / FIGURES).mkdir(exist_ok=True)
    for place, judgement in enumerate(judgements):
        name = judgement.judged.name
        table = score_table(judgement.scores, judgement.floor, judgement.ceilings)
        kept = {SCORES: table, DIFFERENCES: judgement.differences}
        for report, finding in judgement.findings.items():
            kept |= {f"{report}-{word}.parquet": table for word, table in finding.tables.items()}
            for figure in finding.figures:
                figures.append(_figure_path(folder, name, place, figure))
                write_whole(figures[-1], figure.png)
        for file, table in kept.items():
            tables.setdefault(file, []).append(table.assign(**{SET: name}))
    for file, parts in tables.items():
        write_whole(folder / file, parquet_bytes(pd.concat(parts, ignore_index=True)))
    _write_page(judgements, about, folder)
    return [folder / PAGE, *(folder / file for file in tables), *figures]


def log_judgements(
    judgements: Sequence[Judgement], subjects: Sequence[Subject], about: About, folder: Path, tracker: Tracker
) -> list[str]:
    """Give every judged set a run in MLflow: its scores, the page, all tables, and figures.

    Where real tiles may not be seen there, the page is another one without them, and figures that show some stay here.

    Returns:
        The runs' ids.

    Raises:
        TrackingError: The server stayed away.
    """
    runs = []
    evaluator = about.evaluator
    for place, (judgement, subject) in enumerate(zip(judgements, subjects, strict=True)):
        tags = {
            **code_version_tags(), **blind_tags(evaluator.self_test), KIND: "judgement",
            "fedray.judged": subject.name, "fedray.alarms": ", ".join(judgement.alarms) or "none",
        }  # fmt: skip
        tags |= {"fedray.judged-run": subject.run_id} if subject.run_id else {}
        run = tracker.start_run(f"judgement of {subject.name}", tags=tags, params=about.protocol)
        run.log_dataset(judgement.judged.real.store)
        run.log_figures(0, judgement.scores)
        for path in sorted(folder.glob("[!.]*.parquet")):
            run.log_artifact(path)
        _log_page(run, judgements, about, folder)
        log_self_test(run, evaluator.self_test, folder)
        for finding in judgement.findings.values():
            for figure in shown_figures(finding, run.real_tiles):
                run.log_artifact(_figure_path(folder, subject.name, place, figure), FIGURES)
        run.finish("FINISHED")
        runs.append(run.run_id)
    return runs


def _log_page(run: TrackedRun, judgements: Sequence[Judgement], about: About, folder: Path) -> None:
    if run.real_tiles:
        run.log_artifact(folder / PAGE)
        return
    with scratch_folder() as scratch:
        _write_page(judgements, replace(about, real_tiles=False), scratch)
        run.log_artifact(scratch / PAGE)


def _write_page(judgements: Sequence[Judgement], about: About, folder: Path) -> None:
    write_whole(folder / PAGE, write_page(judgements, about).encode(errors="backslashreplace"))


def _figure_path(folder: Path, name: str, place: int, figure: Figure) -> Path:
    return folder / FIGURES / f"{_word(name, place)}-{figure.name}.png"


def _word(name: str, place: int) -> str:
    """Name files of a set: its place, as names may be alike, and what can stand in a file's name."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-40:].lower()
    return f"{place + 1}-{readable}"


def _blind(found: Sequence[str]) -> str:
    return in_words(found) if found else "nothing tested"


def _sentence(line: str) -> str:
    """Begin with a capital unless it is a score's name, and end with a full stop."""
    return line if line.endswith(".") else f"{line}."
