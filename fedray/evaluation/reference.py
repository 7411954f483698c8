"""The real tiles that generated ones are compared with: which they are, their features, and their own floor."""

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.alike import check_features_differ, check_tiles_differ
from fedray.evaluation.cache import Stored, cache_path, load_or_build
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors import Extractor, extractor_name
from fedray.evaluation.metrics import Part, Sample, Scores, compare, metrics_of, score_names_for
from fedray.evaluation.samples import sample_of
from fedray.randomness import stream

DEFAULT_SAMPLES = 256
"""Tiles that are compared where ``num_samples`` is unset, the split has as many and other real ones are left."""
FEWEST_SAMPLES = 16
"""Tiles below which the default does not fall, as ``num_samples`` must not: scores of fewer say too little."""

FLOOR_DRAWS = 5
"""Draws of tiles, at the most, that a floor is the mean of."""
FLOOR_TILES = 512
"""Tiles at the most, of all draws together; one draw may have more."""

PROTOCOL = 8
"""Version of how tiles are chosen and features computed; a change of either must raise it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Reference:
    """The real side of every comparison.

    Attributes:
        samples: The real tiles by name of the features.
        floor: The scores of n other real tiles, with the same number of each label, against these: the mean of several
            draws where n is small (see :func:`floor_draws`).
    """

    samples: Mapping[str, Sample]
    floor: Scores

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the real tiles, int64 [n]."""
        return next(iter(self.samples.values())).labels

    @property
    def domains(self) -> NDArray[np.int64]:
        """Domains of the real tiles, int64 [n]."""
        domains = next(iter(self.samples.values())).domains
        assert domains is not None
        return domains


def score_names(config: EvaluationConfig, store: TileStore, seed: int = 0) -> list[str]:
    """List the names of the scores that evaluation will produce, without computing any.

    The number in a name is the one really compared: ``config.num_samples``, or all tiles of a smaller split; if unset,
    at most 256, and of each label no more than there are other real tiles for the floor.

    Raises:
        EvaluationError: The split has fewer than two tiles, or as of :func:`extractor_name`.
    """
    indices = compared_indices(store, config, seed)
    labels, domains = store.labels[indices], store.domains[indices]
    return score_names_for(extractor_name(config), labels, store.label_names, domains, store.domain_names)


def compared_indices(store: TileStore, config: EvaluationConfig, seed: int = 0) -> NDArray[np.int64]:
    """Choose the real tiles to compare with: sorted indices, each label in proportion to its share of the split.

    Raises:
        EvaluationError: The split has fewer than two tiles.
    """
    indices = store.indices(config.split)
    if len(indices) < 2:
        raise EvaluationError(
            f"evaluation.split {config.split!r} must have at least 2 tiles, but has {len(indices)} in {store.path}"
        )
    num = min(config.num_samples, len(indices)) if config.num_samples else _default_samples(store, config)
    present, counts = np.unique(store.labels[indices], return_counts=True)
    wanted = dict(zip(present.tolist(), shares(counts, num).tolist(), strict=True))
    chosen = _draw(store, indices, wanted, stream(seed, "evaluation", "reference", config.split))
    assert chosen is not None and len(chosen) == num
    return chosen


def _default_samples(store: TileStore, config: EvaluationConfig) -> int:
    """Find the largest number of tiles, at most 256, for which other real ones can stand in a generator's place.

    Without those there is neither floor nor self-test. Where no number has them, or only one that would leave a label
    out, it is what it would be without that wish.
    """
    counts = _counts(store, config.split)
    most = min(DEFAULT_SAMPLES, int(counts.sum()))
    other = _counts(store, _other_split(config))
    for num in range(most, FEWEST_SAMPLES - 1, -1):
        wanted = shares(counts, num)
        if (wanted == 0)[shares(counts, most) > 0].any():
            break
        if (wanted <= other).all() or (wanted <= counts - wanted).all():
            if num < most:
                _tell_of_fewer(str(store.path), config.split, num, most)
            return num
    return most


def _counts(store: TileStore, split: str) -> NDArray[np.int64]:
    """Count the tiles of each label in a split, int64 [label]."""
    return np.bincount(store.labels[store.indices(split)], minlength=len(store.label_names)).astype(np.int64)


def check_compared(store: TileStore, config: EvaluationConfig, seed: int = 0) -> None:
    """Refuse real tiles with which nothing can be compared.

    Raises:
        EvaluationError: The split has fewer than two tiles, or those that are compared with are all alike.
    """
    check_tiles_differ(store, compared_indices(store, config, seed), _compared(config))


def _compared(config: EvaluationConfig) -> str:
    return f"{config.split} tiles that generated ones would be compared with"


def load_reference(
    store: TileStore, config: EvaluationConfig, extractor: Extractor, device: torch.device, seed: int = 0
) -> Reference:
    """Load the reference; the first call for store, extractor weights, split, n and seed computes and caches it.

    Raises:
        EvaluationError: The split has fewer than two tiles, or the extractor sees no difference between them.
    """
    indices = compared_indices(store, config, seed)
    n = len(indices)
    _warn_if_rank_deficient(extractor.name, n, extractor.width)
    name = f"reference{PROTOCOL}-{protocol_name(extractor, config, n, seed)}"

    def build() -> Stored:
        real = sample_of(store.tiles(indices), store.labels[indices], extractor, device, store.domains[indices])
        check_features_differ(real[extractor.name].features, extractor.name, store, _compared(config))
        floor = _floor(store, config, extractor, device, real, seed)
        floor |= _floor_of_domains(store, config, extractor, device, real, seed)
        features = {f"features/{name}": sample.features for name, sample in real.items()}
        rank = int(np.linalg.matrix_rank(real[extractor.name].root.T @ real[extractor.name].root))
        return Stored(features | {"indices": indices}, {"floor": json.dumps(floor), "rank": str(rank)})

    stored = load_or_build(cache_path(store.fingerprint, name), build)
    _warn_if_copies(str(store.path), extractor.name, n, extractor.width, int(stored.metadata["rank"]))
    labels, domains = store.labels[indices].astype(np.int64), store.domains[indices].astype(np.int64)
    samples = {
        name.removeprefix("features/"): Sample(array.astype(np.float32), labels, domains)
        for name, array in stored.arrays.items()
        if name.startswith("features/")
    }
    return Reference(samples, json.loads(stored.metadata["floor"]))


def protocol_name(extractor: Extractor, config: EvaluationConfig, n: int, seed: int) -> str:
    """Name what follows from a store, an extractor's weights and the real tiles compared, for a cached file."""
    return f"{extractor.name}-{extractor.identity[:16]}-{config.split}-{n}-seed{seed}"


def floor_indices(store: TileStore, config: EvaluationConfig, seed: int = 0) -> NDArray[np.int64] | None:
    """Choose other real tiles, as many of each label as are compared with: of the other split, else unused ones.

    Returns:
        Sorted indices, the first of :func:`floor_draws`; None where neither has enough.
    """
    return next(iter(floor_draws(store, config, seed)), None)


def floor_draws(
    store: TileStore, config: EvaluationConfig, seed: int = 0, domain: int | None = None
) -> list[NDArray[np.int64]]:
    """Choose other real tiles several times, as many of each label as are compared with, and no tile twice.

    Of few tiles one draw says little about what real ones score, so there are as many draws as the other split (else
    the unused tiles), :data:`FLOOR_DRAWS` and :data:`FLOOR_TILES` allow.

    Args:
        store: The tiles.
        config: Which of them are compared with.
        seed: Of all draws.
        domain: Whose tiles alone, as many as are compared with of it; unset: of all.

    Returns:
        Sorted indices of every draw; none where neither has enough for one.
    """
    compared = compared_indices(store, config, seed)
    indices = _of_domain(store, compared, domain)
    wanted = _by_label(store, indices)
    rng = stream(seed, "evaluation", "floor", config.split, *(() if domain is None else ("domain", domain)))
    unused = np.setdiff1d(store.indices(config.split), compared)
    most = min(FLOOR_DRAWS, max(1, FLOOR_TILES // len(indices)))
    for candidates in (store.indices(_other_split(config)), unused):
        left = _of_domain(store, candidates, domain)
        draws: list[NDArray[np.int64]] = []
        while len(draws) < most and (chosen := _draw(store, left, wanted, rng)) is not None:
            draws.append(chosen)
            left = np.setdiff1d(left, chosen)
        if draws:
            return draws
    return []


def _floor(
    store: TileStore,
    config: EvaluationConfig,
    extractor: Extractor,
    device: torch.device,
    real: Mapping[str, Sample],
    seed: int,
) -> Scores:
    """Score other real tiles against the reference."""
    if draws := floor_draws(store, config, seed):
        others = (sample_of(store.tiles(chosen), store.labels[chosen], extractor, device) for chosen in draws)
        return mean_scores([compare(extractor.name, store.label_names, real, other) for other in others])
    indices = compared_indices(store, config, seed)
    wanted = {store.label_names[label]: num for label, num in _by_label(store, indices).items()}
    _log.warning(
        "no real-against-real floor for %s: neither split %r nor the unused tiles of split %r have %s tiles by label; "
        "a smaller evaluation.num_samples than %d would leave enough",
        store.path, _other_split(config), config.split, wanted, len(indices),
    )  # fmt: skip
    return {}


def mean_scores(draws: Sequence[Scores]) -> Scores:
    """Take the mean of every score over draws of tiles."""
    return {name: float(np.mean([scores[name] for scores in draws])) for name in draws[0]}


def _floor_of_domains(
    store: TileStore,
    config: EvaluationConfig,
    extractor: Extractor,
    device: torch.device,
    real: Mapping[str, Sample],
    seed: int,
) -> Scores:
    """Score other real tiles of each domain against its own; those of the whole floor are drawn by label alone."""
    scores: Scores = {}
    metrics = metrics_of(extractor.name, store.label_names, store.domain_names)
    for domain in range(len(store.domain_names)):
        part = Part("domain", domain)
        scored = [metric for metric in metrics if part in metric.scored(real[metric.features])]
        draws: list[Scores] = []
        for chosen in floor_draws(store, config, seed, domain) if scored else []:
            other = sample_of(store.tiles(chosen), store.labels[chosen], extractor, device)
            draws.append({})
            for metric in scored:
                of_domain = real[metric.features].part(part)
                values = metric.measure(of_domain, other[metric.features])
                draws[-1] |= metric.named(len(real[metric.features]), part, values)
        scores |= mean_scores(draws) if draws else {}
    return scores


def _of_domain(store: TileStore, indices: NDArray[np.int64], domain: int | None) -> NDArray[np.int64]:
    return indices if domain is None else indices[store.domains[indices] == domain]


def _other_split(config: EvaluationConfig) -> str:
    return "train" if config.split == "test" else "test"


def _by_label(store: TileStore, indices: NDArray[np.int64]) -> dict[int, int]:
    present, counts = np.unique(store.labels[indices], return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def _draw(
    store: TileStore, candidates: NDArray[np.int64], wanted: dict[int, int], rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Draw so many tiles of each label, without repetition; None where a label has too few. Returns sorted indices."""
    labels = store.labels[candidates]
    pools = {label: candidates[labels == label] for label in wanted}
    if any(len(pools[label]) < num for label, num in wanted.items()):
        return None
    drawn = [rng.choice(pools[label], num, replace=False) for label, num in wanted.items()]
    sorted_indices: NDArray[np.int64] = np.sort(np.concatenate(drawn))
    return sorted_indices


def shares(counts: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """Split ``num`` in proportion to ``counts`` by largest remainders; no share exceeds its count if num <= sum."""
    exact = counts * num / counts.sum()
    whole: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    rest = num - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:rest]] += 1
    return whole


@functools.cache
def _tell_of_fewer(path: str, split: str, num: int, most: int) -> None:
    _log.warning(
        "%d of %d %s tiles are compared: for more, %s has too few other real tiles of a label for a floor and a "
        "self-test; evaluation.num_samples compares another number",
        num, most, split, path,
    )  # fmt: skip


@functools.cache
def _warn_if_rank_deficient(extractor: str, n: int, width: int) -> None:
    if n <= width:
        _log.warning(
            "fid/%s/%d compares %d tiles by %d features: the covariances are rank-deficient and FID is biased upward; "
            "prefer KID, or compare more than %d tiles (evaluation.num_samples)",
            extractor, n, n, width, width,
        )  # fmt: skip


@functools.cache
def _warn_if_copies(path: str, extractor: str, n: int, width: int, rank: int) -> None:
    if 2 * rank < min(n - 1, width):
        _log.warning(
            "the %d real tiles compared vary in %d directions of %s's features only, and as many different tiles would "
            "vary in %d: are some copies, or plain? Near such tiles a score says little; look at the pictures in %s",
            n, rank, extractor, min(n - 1, width), path,
        )  # fmt: skip
