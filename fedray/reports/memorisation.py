"""Does it copy training tiles? Held-out tiles say how near is too near, and planted copies what would be found."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd

from fedray.evaluation.destruction import DESTRUCTIONS
from fedray.evaluation.memorisation import (
    NUM_ORIENTATIONS,
    Distances,
    NearerTest,
    Neighbours,
    alarming_number,
    nearer_test,
    neighbours,
    orientations,
    rank_of,
)
from fedray.randomness import stream
from fedray.reports.base import AT_ONCE, Features, Figure, Finding, Judged, RealTiles, Report, Tiles, percent
from fedray.reports.charts import draw_power
from fedray.reports.pictures import Pair, draw_pairs, reduced

LEVEL = 0.01
"""How often tiles that copy nothing are flagged at the most, in all spaces together."""
NEIGHBOURS = 6
"""The nearest training tile, and those that say how near others are."""
FEWEST = 20
"""Held-out tiles without which nothing is said."""
SHARES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
"""Of copies that are planted among held-out tiles."""
DRAWS = 200
"""Of held-out tiles, for each point of the power curve."""
FOUND = 0.95
"""Share of draws in which copies are found of which the verdict says that they would have been."""
NUM_PLANTED = 64
EDGE = 32
"""Pixels that tiles are reduced to before they are compared pixel by pixel: memory and time do not grow with theirs."""
_PAIRS = 8

Space = Callable[[Tiles], Features]


def _plain(turned: Tiles, upright: Tiles, rng: np.random.Generator) -> Tiles:
    return upright


def _turned(turned: Tiles, upright: Tiles, rng: np.random.Generator) -> Tiles:
    return turned


def _destroyed(name: str) -> Callable[[Tiles, Tiles, np.random.Generator], Tiles]:
    return lambda turned, upright, rng: DESTRUCTIONS[name].apply(turned, np.zeros(len(turned), np.int64), rng)


COPIES: dict[str, Callable[[Tiles, Tiles, np.random.Generator], Tiles]] = {
    "plain": _plain,
    "turned or flipped": _turned,
    "JPEG of quality 30": _destroyed("JPEG 30"),
    "blurred by 1 px": _destroyed("blur 1 px"),
}
"""Ways to copy training tiles, by the words under which they are shown; all but plain ones are turned too."""


@dataclass(frozen=True, eq=False)
class _Control:
    """What is known of the real tiles in one space."""

    held_out: Distances
    """Nearness of held-out tiles, [m]."""
    copies: Mapping[str, Distances]
    """Nearness of copies of training tiles, by the way of copying."""


class Memorisation(Report):
    """Generated tiles nearer to one training tile than held-out real tiles are, in pixels and in features.

    A tile's nearness is its distance to the nearest training tile over the mean distance to the next five, of the tile
    in eight orientations. Copies begin where the nearest hundredth of held-out tiles stands; that more generated tiles
    than chance allows stand nearer is an alarm (:func:`fedray.evaluation.memorisation.chance_of_more`).
    """

    title: ClassVar[str] = "Memorisation"
    question: ClassVar[str] = "Does it copy tiles that it learned from?"

    def make(self, judged: Judged) -> Finding:
        """See :class:`fedray.reports.Report`."""
        real, num = judged.real, len(judged.tiles)
        if len(real.held_out) < FEWEST or len(real.training) < NEIGHBOURS:
            return _unanswered(judged)
        found, controls, tests, level = measured(judged)
        power = _power_table(controls, num, level)
        alarm = any(test.alarms for test in tests.values())
        return Finding(
            verdict=_flagged(tests, num) if alarm else _clear(tests, num, power),
            alarm=alarm,
            tables={"spaces": _spaces_table(found, controls, tests), "power": power, "tiles": _tiles_table(found)},
            figures=(*_pairs(judged, found), _power_figure(power)),
        )


class Measured(NamedTuple):
    """What is measured of generated tiles, by what distances are measured in."""

    found: dict[str, Neighbours]
    controls: dict[str, _Control]
    tests: dict[str, NearerTest]
    level: float
    """How often each test alone raises a false alarm at the most."""


def measured(judged: Judged) -> Measured:
    """Find the nearest training tiles of generated tiles, and hold them against those of held-out tiles.

    Args:
        judged: The tiles; of the real ones at least 20 are held out.
    """
    real = judged.real
    found = {name: neighbours_in(judged.tiles, real, name) for name in spaces(real)}
    controls, level = {name: _control(real, name) for name in found}, LEVEL / len(found)
    tests = {name: nearer_test(found[name].nearness, controls[name].held_out, level) for name in found}
    return Measured(found, controls, tests, level)


def num_measured(real: RealTiles) -> int:
    """Count the tiles, turned ones each by itself, whose features are computed of real tiles, whatever is judged."""
    planted = len(COPIES) * min(NUM_PLANTED, len(real.training))
    return len(real.training) + NUM_ORIENTATIONS * (len(real.held_out) + planted)


def _unanswered(judged: Judged) -> Finding:
    real = judged.real
    table = pd.DataFrame([{"held-out tiles": len(real.held_out), "training tiles": len(real.training)}])
    return Finding(
        f"Whether training tiles are copied cannot be said: that needs {FEWEST} held-out and {NEIGHBOURS} training "
        f"tiles, and {real.store.name} has {len(real.held_out)} and {len(real.training)}.",
        None,
        {"spaces": table},
    )


def spaces(real: RealTiles) -> dict[str, Space]:
    """In what distances are measured, by name."""
    return {"pixels": _pixels, real.extractor: real.features}


def _pixels(tiles: Tiles) -> Features:
    return reduced(tiles, EDGE).reshape(len(tiles), -1).astype(np.float32)


def _in_turns(tiles: Tiles, space: Space) -> Features:
    """Features of tiles in all orientations, [8, n, D]."""
    parts = (
        tiles[start : start + AT_ONCE // NUM_ORIENTATIONS]
        for start in range(0, len(tiles), AT_ONCE // NUM_ORIENTATIONS)
    )
    return np.concatenate([np.stack([space(view) for view in orientations(part)]) for part in parts], axis=1)


def _training(real: RealTiles, space: str) -> Iterator[Features]:
    """Features of the training tiles; those of the extractor are computed once."""
    if space == "pixels":
        return map(_pixels, real.batches())
    return iter([real.features_of(real.training)])


def neighbours_in(tiles: Tiles, real: RealTiles, space: str) -> Neighbours:
    """Find the nearest training tiles of tiles, uint8 [n, H, W, C], n >= 1, in one of :func:`spaces`."""
    return neighbours(_in_turns(tiles, spaces(real)[space]), _training(real, space), NEIGHBOURS)


@functools.lru_cache(maxsize=4)
def _control(real: RealTiles, space: str) -> _Control:
    """Measure held-out tiles and planted copies: once for all generators."""
    rng = stream(0, "reports", "planted copies")
    chosen = rng.choice(real.training, min(NUM_PLANTED, len(real.training)), replace=False)
    upright = real.store.tiles(chosen)
    turned = orientations(upright)[rng.integers(NUM_ORIENTATIONS, size=len(chosen)), np.arange(len(chosen))]
    copies = {way: neighbours_in(copy(turned, upright, rng), real, space).nearness for way, copy in COPIES.items()}
    return _Control(held_out_nearness(real, space), copies)


@functools.lru_cache(maxsize=4)
def held_out_nearness(real: RealTiles, space: str) -> Distances:
    """Return the nearness of the held-out tiles in one of :func:`spaces`, once for all generators; [m]."""
    return neighbours_in(real.store.tiles(real.held_out), real, space).nearness


def _power_table(controls: Mapping[str, _Control], num: int, level: float) -> pd.DataFrame:
    """Count in how many draws of held-out tiles, some of them replaced by copies, an alarm is raised.

    Half of the held-out tiles at the most stand in the generator's place, and the others are the control.
    """
    held_out = {space: control.held_out for space, control in controls.items()}
    most = min(num, len(next(iter(held_out.values()))) // 2)
    rows: list[tuple[str, int, float, float]] = []
    for n in sorted({most, *(n for n in (32, 64, 128, 256) if n <= 0.7 * most)}):
        rows.append(("none", n, 0.0, _flagged_share(held_out, held_out, n, 0, level)))
        for way in COPIES:
            copies = {space: control.copies[way] for space, control in controls.items()}
            rows += [(way, n, share, _flagged_share(held_out, copies, n, round(share * n), level)) for share in SHARES]
    return pd.DataFrame(rows, columns=["copies", "tiles", "share planted", "flagged"]).assign(draws=DRAWS)


def _flagged_share(
    held_out: Mapping[str, Distances], copies: Mapping[str, Distances], n: int, planted: int, level: float
) -> float:
    """Return the share of draws in which an alarm is raised in any space."""
    rng = stream(0, "reports", "power", n, planted)
    num_held_out, num_copies = (len(next(iter(each.values()))) for each in (held_out, copies))
    orders = rng.permuted(np.tile(np.arange(num_held_out), (DRAWS, 1)), axis=1)
    chosen = rng.integers(num_copies, size=(DRAWS, planted))
    rank, flagged = rank_of(num_held_out - n), np.zeros(DRAWS, bool)
    alarming = alarming_number(n, num_held_out - n, rank, level)
    for space, values in held_out.items():
        drawn = values[orders]
        threshold = np.partition(drawn[:, n:], rank - 1, axis=1)[:, rank - 1 : rank]
        nearer = np.sum(copies[space][chosen] < threshold, axis=1) + np.sum(drawn[:, planted:n] < threshold, axis=1)
        flagged |= nearer >= alarming
    return float(flagged.mean())


def _flagged(tests: Mapping[str, NearerTest], num: int) -> str:
    worst, test = max(tests.items(), key=lambda item: item[1].nearer - item[1].alarming)
    where = "in pixels" if worst == "pixels" else f"in the features of {worst}"
    return (
        f"Training tiles are copied: {test.nearer} of {num} tiles ({percent(test.nearer / num)}) stand nearer to one "
        f"training tile than all but the nearest hundredth of held-out real tiles ({where}; {test.alarming} are an "
        "alarm)."
    )


def _clear(tests: Mapping[str, NearerTest], num: int, power: pd.DataFrame) -> str:
    most = max(tests.values(), key=lambda test: test.nearer)
    return (
        f"No copies are seen: {most.nearer} of {num} tiles stand nearer to one training tile than all but the nearest "
        f"hundredth of held-out real tiles ({most.alarming} are an alarm); {would_have_been_found(power)}."
    )


def would_have_been_found(power: pd.DataFrame) -> str:
    """Say from a power curve which share of copies would have been found in 95 of 100 draws, whatever was done to them.

    Args:
        power: Columns copies, tiles, share planted, flagged; the largest number of tiles is what is said.
    """
    largest = power[(power["tiles"] == power["tiles"].max()) & (power["copies"] != "none")]
    found = {way: _smallest_found(rows) for way, rows in largest.groupby("copies", sort=False)}
    shares = list(found.values())
    if all(share is None for share in shares):
        return f"but so few tiles ({power['tiles'].max()}) would not have shown half of them to be copies either"
    if shares[0] is not None and len(set(shares)) == 1:
        return (
            f"copies of {percent(shares[0])} of the tiles would have been found, plain, turned, re-encoded or blurred"
        )
    words = [
        f"{way!s} {'not even half' if share is None else f'from {percent(share)}'}" for way, share in found.items()
    ]
    return f"copies would have been found, as a share of the tiles: {', '.join(words)}"


def _smallest_found(rows: pd.DataFrame) -> float | None:
    """The share from which on copies are found in enough draws."""
    missed = rows[rows["flagged"] < FOUND]["share planted"].max()
    found = rows if np.isnan(missed) else rows[rows["share planted"] > missed]
    return None if found.empty else float(found["share planted"].min())


def _spaces_table(
    found: Mapping[str, Neighbours], controls: Mapping[str, _Control], tests: Mapping[str, NearerTest]
) -> pd.DataFrame:
    rows = []
    for space, near in found.items():
        control, test = controls[space].held_out, tests[space]
        rows.append({
            "distances in": space,
            "nearness, median": float(np.median(near.nearness)),
            "held-out, median": float(np.median(control)),
            "nearest": float(near.nearness.min()),
            "held-out, nearest": float(control.min()),
            "copies begin at": test.threshold,
            "tiles nearer": test.nearer,
            "alarm from": test.alarming,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _tiles_table(found: Mapping[str, Neighbours]) -> pd.DataFrame:
    """A row a tile and space: its nearest training tile, by its place in the training split."""
    return pd.concat(
        pd.DataFrame({
            "distances in": space,
            "tile": np.arange(len(near.places)),
            "training tile": near.places[:, 0],
            "distance": near.distances[:, 0],
            "nearness": near.nearness,
        })
        for space, near in found.items()
    ).reset_index(drop=True)  # fmt: skip


def _pairs(judged: Judged, found: Mapping[str, Neighbours]) -> Sequence[Figure]:
    return [_pairs_in(judged, space, near) for space, near in found.items()]


def _pairs_in(judged: Judged, space: str, near: Neighbours) -> Figure:
    """Picture of the tiles that are nearest to a training tile, beside it, turned as it is nearest."""
    nearness, real = near.nearness, judged.real
    pairs = []
    for tile in np.argsort(nearness, kind="stable")[:_PAIRS].tolist():
        [shown] = real.store.tiles(real.training[near.places[tile, :1]])
        view = orientations(judged.tiles[tile : tile + 1])[near.turns[tile, 0], 0]
        pairs.append(Pair(view, shown, f"{near.distances[tile, 0]:.3g}  ({nearness[tile]:.2f})"))
    where = f"pixels (grey levels, at {EDGE} px)" if space == "pixels" else f"the features of {space}"
    return Figure(
        f"nearest-in-{'pixels' if space == 'pixels' else 'features'}",
        draw_pairs(pairs, "generated", "training"),
        f"The {len(pairs)} tiles that stand nearest to one training tile, in {where}: generated on the left, turned as "
        "it is nearest, the training tile on the right, below them their distance and, in brackets, nearness: the "
        "distance over that to the next five training tiles. A copy has 0, a tile that is like many about 0.9.",
        f"{len(pairs)} pairs of a generated tile and its nearest training tile, by {where}",
    )


def _power_figure(power: pd.DataFrame) -> Figure:
    alarms = power[power["copies"] == "none"]
    told = ", ".join(
        f"{percent(row['flagged'], 1)} of {row['draws']} draws of {row['tiles']}" for row in alarms.to_dict("records")
    )
    return Figure(
        "power",
        draw_power(power),
        "How often copies are found: the share of draws flagged, by the share of tiles that are copies of training "
        f"tiles, planted among held-out real ones. Held-out tiles without copies were flagged in {told}.",
        "Curves of the share of draws flagged over the share of planted copies, one a way of copying",
        real_tiles=False,
    )
