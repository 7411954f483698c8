"""Generators scored with several extractors: does their order depend on who looks?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.errors import UserError
from fedray.evaluation import Scores, compared_indices, extractor_name, mode_of
from fedray.evaluation.agreement import FEWEST, agreement
from fedray.evaluation.extractors import load_extractor
from fedray.evaluation.metrics import compare
from fedray.evaluation.reference import load_reference
from fedray.evaluation.samples import sample_of
from fedray.randomness import torch_stream
from fedray.results.finished import Finished
from fedray.storage import parquet_bytes, picture_bytes, write_whole

SCORES, AGREEMENT, PICTURE = "scores.parquet", "agreement.parquet", "agreement.png"
"""Files of the results."""
DRAWS = 2
"""Sets of tiles that each generator makes: what another set does to an extractor's own order is what others are held
against."""
ITSELF = "itself"
"""In the place of the second extractor: the first one, with other tiles."""


class ComparisonError(UserError, ValueError):
    """Generators cannot be compared. The message names the rule, what was found and the remedy."""


class Candidate(NamedTuple):
    """A generator to be scored."""

    name: str
    finished: Finished


class Found(NamedTuple):
    """The generators of some places, and why others there cannot be scored, by their name."""

    candidates: list[Candidate]
    lost: dict[str, str]


@dataclass(frozen=True, eq=False)
class Compared:
    """Generators, scored.

    Attributes:
        scores: A row a generator, draw of tiles, extractor and score: ``generator``, ``draw``, ``extractor`` (its name
            in scores), ``score``, ``value``. Draw -1 is the floor: other real tiles in a generator's place.
        agreement: A row a pair of extractors: ``first``, ``second`` (``itself``: the same with other tiles), ``score``
            (the kind ranked by), ``tau``, ``low``, ``high``, ``runs``.
        kind: Of score that generators are ranked by.
        extractors: Names of the extractors in scores, in the order in which they were asked for.
    """

    scores: pd.DataFrame
    agreement: pd.DataFrame
    kind: str
    extractors: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """Values of the score ranked by, a row a generator and a column an extractor: means over the draws."""
        return means(self.scores, self.kind)

    @property
    def ranks(self) -> pd.DataFrame:
        """Ranks of the generators, 1 the best, a column an extractor."""
        sign = 1 if mode_of(f"{self.kind}/") == "min" else -1
        return self.table.apply(lambda column: pd.Series(rankdata(sign * column), column.index))

    @property
    def floor(self) -> "pd.Series[float]":
        """What other real tiles score, by extractor; none where the store has too few."""
        real = self.scores[(self.scores["draw"] < 0) & (_kinds(self.scores) == self.kind)]
        return real.set_index("extractor")["value"]


def candidates_of(places: Sequence[str], tracking_uri: str | None = None) -> Found:
    """Open the generators of finished runs: of a sweep, of every trial that ran all its rounds.

    Args:
        places: Results folders, their addresses, or ids of MLflow runs.
        tracking_uri: As of :meth:`Finished.open`.

    Raises:
        ResultsError: As of :meth:`Finished.open`, or a run has no generator.
    """
    candidates, lost = list[Candidate](), dict[str, str]()
    for place in places:
        kept, gone = Finished.open_trials(place, tracking_uri)
        short = Path(place).name if len(places) > 1 else ""
        named = [str(one.history["trial"].iloc[row]) if one.kind == "sweep" else Path(place).name
                 for row, one in enumerate(kept)]  # fmt: skip
        for name, one in zip(named, kept, strict=True):
            whole = f"{short} {name}" if short and one.kind == "sweep" else name
            candidates.append(Candidate(whole, one))
        lost |= {f"{short} {trial}".strip(): why for trial, why in gone.items()}
    return Found(candidates, lost)


def check_comparable(candidates: Sequence[Candidate], store: TileStore) -> list[str]:
    """Refuse generators of which no order can be told, or whose tiles are not like the store's.

    Returns:
        What there is to know.

    Raises:
        ComparisonError: With the remedy.
    """
    if len(candidates) < FEWEST:
        raise ComparisonError(
            f"an order needs at least {FEWEST} generators, but {len(candidates)} can be scored "
            f"({', '.join(one.name for one in candidates) or 'none'}); name more runs, or a sweep of which more trials "
            "ran all their rounds (early_stopping: none stops none)"
        )
    shown = (store.tile_size, store.channels, store.label_names, store.domain_names)
    for name, one in candidates:
        tiles = one.tiles
        if (found := (tiles.size, tiles.channels, tiles.label_names, tiles.domain_names)) != shown:
            raise ComparisonError(
                f"{name} makes tiles of {_words(found)}, but the real ones in {store.path} are of {_words(shown)}; "
                "compare runs on one tile store, or name the store by --data"
            )
    others = [name for name, one in candidates if one.tiles.fingerprint != store.fingerprint]
    return [f"{', '.join(others)}: learned from other tiles than those of {store.path}"] if others else []


def score_candidates(
    candidates: Sequence[Candidate],
    judges: Sequence[EvaluationConfig],
    store: TileStore,
    kind: str,
    device: str = "cpu",
    seed: int = 0,
) -> Compared:
    """Score every generator with every extractor, all on the same tiles, and compare the orders.

    One extractor is in memory at a time, and all tiles.

    Args:
        candidates: The generators.
        judges: The extractors, each in a section ``evaluation``; the number of tiles and the split are those of all.
        store: The real tiles.
        kind: Of score that is ranked by: the first part of its name.
        device: Where networks compute.
        seed: Of the noise.

    Raises:
        ComparisonError: An extractor stands twice.
        EvaluationError: An extractor cannot be loaded, or not on this store.
        ResultsError: A run has no generator.
    """
    names = tuple(extractor_name(judge) for judge in judges)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ComparisonError(f"the extractor {twice[0]} stands twice; name every extractor once")
    indices = compared_indices(store, judges[0])
    labels, domains = (values[indices].astype(np.int64) for values in (store.labels, store.domains))
    tiles = {
        (candidate.name, draw): candidate.finished.sampler(device).sample(
            labels, torch_stream(seed, "compared", draw), domains
        )
        for candidate in candidates
        for draw in range(DRAWS)
    }
    rows = [row for judge in judges for row in _scored(tiles, labels, judge, store, device)]
    scores = pd.DataFrame(rows, columns=["run", "draw", "extractor", "score", "value"])
    return Compared(scores, _agreement(scores, kind, names), kind, names)


def _scored(
    tiles: Mapping[tuple[str, int], NDArray[np.uint8]],
    labels: NDArray[np.int64],
    judge: EvaluationConfig,
    store: TileStore,
    device: str,
) -> Iterable[tuple[str, int, str, str, float]]:
    """Score all tiles with one extractor. No self-test: it would take as long as twenty generators."""
    extractor, on = load_extractor(store, judge), torch.device(device)
    extractor.network.to(on)
    reference = load_reference(store, judge, extractor, on)

    def rows(name: str, draw: int, scores: Scores) -> Iterable[tuple[str, int, str, str, float]]:
        return ((name, draw, extractor.name, score, value) for score, value in scores.items())

    yield from rows("real tiles", -1, reference.floor)
    for (name, draw), made in tiles.items():
        fake = sample_of(made, labels, extractor, on)
        yield from rows(name, draw, compare(extractor.name, store.label_names, reference.samples, fake))


def means(scores: pd.DataFrame, kind: str, draws: Sequence[int] = range(DRAWS)) -> pd.DataFrame:
    """Average a kind of score of all tiles over some draws: a row a generator, a column an extractor."""
    chosen = scores[scores["draw"].isin(list(draws)) & (_kinds(scores) == kind)]
    found = chosen.groupby(["run", "extractor"], sort=False)["value"].mean().unstack()
    return found.reindex(columns=chosen["extractor"].unique(), index=chosen["run"].unique())


def _kinds(scores: pd.DataFrame) -> "pd.Series[str]":
    """Kind of each score of all tiles in an extractor's own features; empty for others."""
    parts = [name.split("/", 2) for name in scores["score"]]
    own = [
        kind if features == extractor and "/" not in rest else ""
        for (kind, features, rest), extractor in zip(parts, scores["extractor"], strict=True)
    ]
    return pd.Series(own, scores.index)


def _agreement(scores: pd.DataFrame, kind: str, names: Sequence[str]) -> pd.DataFrame:
    first, second = (means(scores, kind, [draw]) for draw in range(DRAWS))
    pairs = [(name, ITSELF, first[name], second[name]) for name in names]
    pairs += [(one, other, first[one], first[other]) for one, other in combinations(names, 2)]
    rows = [(a, b, kind, *agreement(x, y), len(x)) for a, b, x, y in pairs]
    return pd.DataFrame(rows, columns=["first", "second", "score", "tau", "low", "high", "runs"])


def _words(shown: tuple[int, int, Sequence[str], Sequence[str]]) -> str:
    size, channels, labels, domains = shown
    return f"{size} px with {channels} channels, labels {', '.join(labels)} and domains {', '.join(domains)}"


def verdict(compared: Compared) -> list[str]:
    """Say of every pair of extractors what its agreement shows, a sentence each."""
    rows = {(row["first"], row["second"]): row for row in compared.agreement.to_dict("records")}
    return [_sentence(row, rows[row["first"], ITSELF], rows[row["second"], ITSELF])
            for row in rows.values() if row["second"] != ITSELF]  # fmt: skip


def _sentence(pair: Mapping[Any, Any], first: Mapping[Any, Any], second: Mapping[Any, Any]) -> str:
    who, least = f"{pair['first']} and {pair['second']}", min(first["tau"], second["tau"])
    if not pair["low"] > 0:
        return f"{who}: no agreement is shown with {pair['runs']} runs; more may show one."
    if pair["high"] < least:
        return f"{who} agree, but less than each with itself on other tiles: who looks decides a part of the order."
    return f"{who} agree, and no less than the draw of tiles allows: no difference between them is shown."


def draw_agreement(compared: Compared) -> Any:
    """Draw the generators' ranks, a line each from extractor to extractor, beside the taus; a figure of matplotlib."""
    from matplotlib.figure import Figure

    ranks, names = compared.ranks, list(compared.extractors)
    height = max(3.6, 0.28 * len(ranks) + 1.6)
    figure = Figure(figsize=(3.0 + 3.2 * len(names), height), layout="constrained")
    lines, cells = figure.subplots(1, 2, width_ratios=(len(names) + 1, len(names)))
    for run, row in ranks.iterrows():
        lines.plot(range(len(names)), [row[name] for name in names], marker="o", linewidth=1.5)
        lines.annotate(
            str(run), (len(names) - 1, row[names[-1]]), (8, 0), textcoords="offset points", va="center",
            fontsize=8, parse_math=False, annotation_clip=False,
        )  # fmt: skip
    lines.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8, parse_math=False)
    lines.set_xlim(-0.2, len(names) - 0.4)
    lines.set_yticks(range(1, len(ranks) + 1))
    lines.invert_yaxis()
    lines.set_ylabel(f"rank by {compared.kind}, 1 is best")
    lines.spines[["top", "right"]].set_visible(False)
    _draw_taus(cells, compared, names)
    return figure


def _draw_taus(axes: Any, compared: Compared, names: Sequence[str]) -> None:
    num = len(names)
    shown = np.full((num, num), np.nan)
    for row in compared.agreement.to_dict("records"):
        i = names.index(row["first"])
        j = i if row["second"] == ITSELF else names.index(row["second"])
        shown[i, j] = shown[j, i] = row["tau"]
        text = f"{row['tau']:.2f}\n{row['low']:.2f} to {row['high']:.2f}"
        for place in {(i, j), (j, i)}:
            axes.text(place[1], place[0], text, ha="center", va="center", fontsize=8)
    axes.imshow(shown, cmap="RdYlGn", vmin=-1, vmax=1, alpha=0.6)
    axes.set_xticks(range(num), names, rotation=20, ha="right", fontsize=8, parse_math=False)
    axes.set_yticks(range(num), names, fontsize=8, parse_math=False)
    axes.set_title("Kendall's tau, 95 % interval\n(diagonal: itself, with other tiles)", fontsize=9)


def write_compared(compared: Compared, folder: Path) -> None:
    """Write both tables and the picture."""
    write_whole(folder / SCORES, parquet_bytes(compared.scores))
    write_whole(folder / AGREEMENT, parquet_bytes(compared.agreement))
    write_whole(folder / PICTURE, picture_bytes(draw_agreement(compared), dpi=120))
