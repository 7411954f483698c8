"""The self-test of an extractor on a store: real tiles destroyed on purpose, scored in a generator's place.

A destroyed set that scores no worse than undestroyed names what the score cannot see: a generator with that fault, and
no other, looks perfect. One that scores worse, but no worse than other real tiles do, needs more tiles to be seen.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.cache import Stored, cache_path, load_or_build
from fedray.evaluation.destruction import DESTRUCTIONS, NEARER_FIRST, PERMUTED, destroy, why_skipped
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.extractors.base import progress
from fedray.evaluation.intervals import LEAVE_OUT, Destroyed, Interval, LeftOut, mean_interval, new_draw_interval
from fedray.evaluation.metrics import Metric, Sample, Scores, compare
from fedray.evaluation.metrics.distances import Fid, Kid
from fedray.evaluation.reference import Reference, floor_draws, mean_scores, protocol_name
from fedray.evaluation.samples import sample_of
from fedray.randomness import stream

PROTOCOL = 8
"""Version of destructions, scores and intervals; a change of any must raise it."""

TESTED: tuple[type[Metric], ...] = (Fid, Kid)
"""Distances in the extractor's features; for all of them lower is better."""

NOTHING = 1e-3
"""Share of the way from the floor to the end of its interval below which a rise is none: rounding makes such ones."""

State = Literal["seen", "within the spread", "blind"]
"""How a score takes a destroyed set: above what other real tiles score; above what the same tiles score undestroyed,
but no more; neither."""

REAL = "real tiles"
"""The undestroyed set, which scores the floor, among the names of the destroyed ones."""


@dataclass(frozen=True, eq=False)
class SelfTest:
    """Scores of destroyed real tiles, as means over the draws of which the floor is the mean.

    Attributes:
        scores: By name of the destroyed set, then of the score.
        floor: What the same tiles score undestroyed.
        floor_intervals: In which the floor is, on average over such draws, 95 times of 100.
        intervals: In which one draw of as many other real tiles scores, 95 times of 100 (see
            ``fedray.evaluation.intervals``).
        rises: Interval of what the destruction adds to the floor, by name of the destroyed set, then of the score.
        skipped: Sets that do not apply to these tiles, each with the reason.
        void: Features, number and label (a score's name without its kind) where permuted labels do not worsen that
            label's score: no score in these features says anything about the label.
    """

    scores: Mapping[str, Scores]
    floor: Scores
    floor_intervals: Mapping[str, Interval]
    intervals: Mapping[str, Interval]
    rises: Mapping[str, Mapping[str, Interval]]
    skipped: Mapping[str, str]
    void: frozenset[str] = frozenset()

    def in_floor(self, tiles: str, score: str) -> bool:
        """Say whether a set scores within, or below, the interval of real tiles."""
        return self.scores[tiles][score] <= self.intervals[score][1]

    def state(self, tiles: str, score: str) -> State:
        """Say how a score takes a destroyed set."""
        if not self.in_floor(tiles, score):
            return "seen"
        nothing = NOTHING * (self.intervals[score][1] - self.floor[score])
        return "within the spread" if self.rises[tiles][score][0] > nothing else "blind"

    def blind_to(self, score: str) -> list[str]:
        """List the sets that score no worse than the same tiles undestroyed."""
        return self._in_state("blind", score)

    def within_spread(self, score: str) -> list[str]:
        """List the sets that score worse than undestroyed, but no worse than as many other real tiles may."""
        return self._in_state("within the spread", score)

    def _in_state(self, state: State, score: str) -> list[str]:
        """List sets; permuted labels concern scores of single labels alone."""
        asked = [tiles for tiles in self.scores if tiles != PERMUTED or is_of_label(score)]
        return [tiles for tiles in asked if self.state(tiles, score) == state]

    def misordered(self, score: str) -> list[tuple[str, str]]:
        """List pairs of sets of which the second is destroyed more, and yet scores no worse than the first, if seen."""
        ladders = [[tiles for tiles in ladder if tiles in self.scores] for ladder in NEARER_FIRST]
        pairs = [pair for ladder in ladders for pair in pairwise(ladder)]
        seen = [(near, far) for near, far in pairs if not self.in_floor(near, score)]
        return [(near, far) for near, far in seen if self.scores[far][score] <= self.scores[near][score]]

    def without_void(self, scores: Scores) -> Scores:
        """Leave out the scores of labels that their features do not tell from others, of whatever kind they are."""
        return {score: value for score, value in scores.items() if what_of(score) not in self.void}


def is_of_label(score: str) -> bool:
    """Say whether a score is that of one label's tiles."""
    return "/label/" in score


def what_of(score: str) -> str:
    """Return features, number and label of a score: its name without the kind."""
    return score.partition("/")[2]


def load_self_test(
    store: TileStore,
    config: EvaluationConfig,
    extractor: Extractor,
    reference: Reference,
    device: torch.device,
    seed: int = 0,
) -> SelfTest | None:
    """Load the self-test; the first call for store, extractor weights, split, n and seed computes and caches it.

    Returns:
        None where the store has too few tiles for a floor.
    """
    draws = floor_draws(store, config, seed)
    if not draws:
        return None
    name = f"self-test{PROTOCOL}-{protocol_name(extractor, config, len(draws[0]), seed)}"

    def build() -> Stored:
        tiles = [store.tiles(chosen) for chosen in draws]
        others = [sample_of(drawn, store.labels[chosen], extractor, device)
                  for drawn, chosen in zip(tiles, draws, strict=True)]  # fmt: skip
        real, floor = reference.samples, reference.floor
        return _stored(run_self_test(tiles, others, real, floor, extractor, store.label_names, device, seed))

    return _loaded(load_or_build(cache_path(store.fingerprint, name), build))


def run_self_test(
    tiles: Sequence[NDArray[np.uint8]],
    others: Sequence[Mapping[str, Sample]],
    real: Mapping[str, Sample],
    floor: Scores,
    extractor: Extractor,
    label_names: tuple[str, ...],
    device: torch.device,
    seed: int = 0,
) -> SelfTest:
    """Destroy tiles in every way that applies to them, and score them.

    Args:
        tiles: Draws of other real tiles than the reference, each uint8 [n, H, W, C].
        others: Their features by name, with their labels: each label as often as in the reference.
        real: The reference, in the same features.
        floor: What the undestroyed tiles score, on average over the draws.
        extractor: What features come from; its network has to be on ``device``.
        label_names: Names of the labels, by label.
        device: Where features are computed.
        seed: Of what is random in destruction and intervals.
    """
    metrics = [metric(extractor.name, label_names) for metric in TESTED]
    reference, undestroyed = real[extractor.name], [other[extractor.name] for other in others]
    labels = undestroyed[0].labels
    names = [name for metric in metrics for name in metric.names(labels)]
    height, width, channels = tiles[0].shape[1:]
    reasons = {name: why_skipped(name, (height, width, channels), labels) for name in DESTRUCTIONS}
    left_out = {name: _left_out(name, reference, undestroyed, label_names, seed) for name in names}
    scores: dict[str, Scores] = {}
    rises: dict[str, dict[str, Interval]] = {}
    for name in progress(DESTRUCTIONS, f"{extractor.name}: self-test on destroyed real tiles, once for this store"):
        if reasons[name] is not None:
            continue
        rng = stream(seed, "self-test", name)
        draws = [_destroyed(name, drawn, sample, extractor, device, rng)
                 for drawn, sample in zip(tiles, undestroyed, strict=True)]  # fmt: skip
        scores[name] = mean_scores([mean_scores([_values(metrics, reference, one.sample) for one in destroyed])
                                    for destroyed in draws])  # fmt: skip
        rises[name] = {
            score: mean_interval(scores[name][score] - floor[score], _risen(score, left_out[score], draws, label_names))
            for score in names
        }
    left = {name: [draw.left for draw in left_out[name]] for name in names}
    floor_intervals = {name: mean_interval(floor[name], left[name]) for name in names}
    intervals = {name: new_draw_interval(floor[name], left[name]) for name in names}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    void: frozenset[str] = frozenset()
    if PERMUTED in scores:
        void = _void(extractor.name, real, others, floor, intervals, label_names, seed)
    return SelfTest(scores, {name: floor[name] for name in names}, floor_intervals, intervals, rises, skipped, void)


def _values(metrics: Sequence[Metric], real: Sample, destroyed: Sample) -> Scores:
    return {score: value for metric in metrics for score, value in metric.values(real, destroyed).items()}


def _void(
    extractor: str,
    real: Mapping[str, Sample],
    others: Sequence[Mapping[str, Sample]],
    floor: Scores,
    intervals: Mapping[str, Interval],
    label_names: tuple[str, ...],
    seed: int,
) -> frozenset[str]:
    """Find the labels that permuting does not worsen, in every kind of features.

    The extractor's are asked by their kernel distance, others by the scores that bring an interval of their own.
    """
    order = DESTRUCTIONS[PERMUTED].order
    assert order is not None
    rng = stream(seed, "self-test", PERMUTED)
    found = []
    for other in others:
        labels = other[extractor].labels
        places = order(labels, rng)
        permuted = {kind: Sample(sample.features[places], labels) for kind, sample in other.items()}
        found.append(compare(extractor, label_names, real, permuted))
    worse = mean_scores(found)
    bounds = {score: high for score, (_, high) in intervals.items()}
    for score in floor:
        kind, _, what = score.partition("/")
        if not what.startswith(f"{extractor}/") and (high := floor.get(f"{kind}-high/{what}")) is not None:
            bounds[score] = high
    return frozenset(what_of(score) for score in bounds if is_of_label(score) and worse[score] <= bounds[score])


def _left_out(
    score: str, real: Sample, others: Sequence[Sample], label_names: tuple[str, ...], seed: int
) -> list[LeftOut]:
    """Leave out groups of every draw."""
    if (label := _label_of(score, label_names)) is not None:
        real, others = real.of(label), [other.of(label) for other in others]
    leave_out, rng = LEAVE_OUT[score.partition("/")[0]], stream(seed, "self-test", "interval")
    return [LeftOut(real, other, leave_out, rng) for other in others]


def _risen(
    score: str, left_out: Sequence[LeftOut], draws: Sequence[Sequence[Destroyed]], label_names: tuple[str, ...]
) -> list[NDArray[np.float64]]:
    """Say what destruction adds to a score of every draw, without each group."""
    return [draw.risen([_part_of(score, one, label_names) for one in destroyed])
            for draw, destroyed in zip(left_out, draws, strict=True)]  # fmt: skip


def _destroyed(
    name: str,
    tiles: NDArray[np.uint8],
    undestroyed: Sample,
    extractor: Extractor,
    device: torch.device,
    rng: np.random.Generator,
) -> list[Destroyed]:
    """Destroy tiles once, or as often as their score is to be the mean of."""
    destruction, labels = DESTRUCTIONS[name], undestroyed.labels
    if destruction.order is None:
        ways = (extractor.features(destroyed, device) for destroyed in destroy(name, tiles, labels, rng))
        return [Destroyed(Sample(features, labels), np.arange(len(labels))) for features in ways]
    # Tiles in the place of others: their features are known.
    return [_in_order(undestroyed, destruction.order(labels, rng)) for _ in range(destruction.num_choices)]


def _in_order(undestroyed: Sample, places: NDArray[np.int64]) -> Destroyed:
    """Put tiles into the places of others."""
    labels = undestroyed.labels
    # A tile of another label has no part in this label's score, so nothing is left out with it.
    origins = np.where(labels[places] == labels, places, np.arange(len(labels)))
    return Destroyed(Sample(undestroyed.features[places], labels), origins)


def _part_of(score: str, destroyed: Destroyed, label_names: tuple[str, ...]) -> Destroyed:
    """Take what a score is of: all tiles, or those of one label."""
    if (label := _label_of(score, label_names)) is None:
        return destroyed
    chosen = destroyed.sample.labels == label
    return Destroyed(destroyed.sample.of(label), (np.cumsum(chosen) - 1)[destroyed.origins[chosen]])


def _label_of(score: str, label_names: tuple[str, ...]) -> int | None:
    _, _, label_name = score.partition("/label/")
    return label_names.index(label_name) if label_name else None


def _stored(test: SelfTest) -> Stored:
    names = list(test.floor)
    values = np.array([[scores[name] for name in names] for scores in test.scores.values()])
    bounds = np.array([(test.floor[name], *test.floor_intervals[name], *test.intervals[name]) for name in names])
    rises = np.array([[test.rises[tiles][name] for name in names] for tiles in test.scores])
    texts = {"tiles": list(test.scores), "scores": names, "skipped": dict(test.skipped), "void": sorted(test.void)}
    arrays = {"values": values, "bounds": bounds, "rises": rises}
    return Stored(arrays, {name: json.dumps(text) for name, text in texts.items()})


def _loaded(stored: Stored) -> SelfTest:
    texts = {name: json.loads(text) for name, text in stored.metadata.items()}
    tiles, names = texts["tiles"], texts["scores"]
    values, bounds = stored.arrays["values"].tolist(), stored.arrays["bounds"].tolist()
    return SelfTest(
        scores={row: dict(zip(names, found, strict=True)) for row, found in zip(tiles, values, strict=True)},
        floor={name: row[0] for name, row in zip(names, bounds, strict=True)},
        floor_intervals={name: (row[1], row[2]) for name, row in zip(names, bounds, strict=True)},
        intervals={name: (row[3], row[4]) for name, row in zip(names, bounds, strict=True)},
        rises={
            row: {name: (low, high) for name, (low, high) in zip(names, found, strict=True)}
            for row, found in zip(tiles, stored.arrays["rises"].tolist(), strict=True)
        },
        skipped=texts["skipped"],
        void=frozenset(texts["void"]),
    )
