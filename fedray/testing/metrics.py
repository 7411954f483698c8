"""What every metric must do, whoever wrote it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedray.evaluation.metrics import Metric, Sample, Scores, interval_names
from fedray.testing.suite import Suite

LABEL_NAMES = ("gland", "stroma/16", "label", "lost")
"""Of all that a store may have: with a slash, with a word of the score's own, and one without tiles."""
DOMAIN_NAMES = ("Aperio", "3DHistech", "lost")
SHARES = ((16, 0, 0), (40, 40, 5), (40, 32, 31), (10, 2, 1), (64, 1, 64), (2, 1, 0), (9, 0, 0))
"""Tiles of each label: around the numbers below which scores are left out."""


class MetricSuite(Suite):
    """Tests of a subclass of :class:`fedray.evaluation.metrics.Metric`, given as ``metric``."""

    given = ("metric",)

    def test_a_kind_is_a_word_and_has_a_mode(self, metric: type[Metric]) -> None:
        """Kinds are the first parts of names, which end at a slash; what is no score is the end of an interval."""
        assert metric.kinds, f"{metric.__name__}.kinds is empty: it has no scores"
        for kind, mode in metric.kinds.items():
            assert kind and "/" not in kind, f"kind {kind!r} must be a word without '/', which ends it in a name"
            assert mode in ("min", "max", None), f"mode of {kind!r} must be 'min', 'max' or None, but is {mode!r}"
        ends = {kind for kind, mode in metric.kinds.items() if mode is None}
        held = {end for kind in metric.kinds for end in interval_names(kind)}
        assert ends <= held, f"{sorted(ends - held)} have mode None, but are the ends of no score's interval"
        for said in ("shares", "of_each_tile"):
            unknown = sorted(getattr(metric, said) - metric.kinds.keys())
            assert not unknown, f"{said} names {unknown}, but kinds has {list(metric.kinds)}"

    def test_values_are_in_the_range_that_is_said(self, metric: type[Metric]) -> None:
        """Of tiles near and far, and of other real ones."""
        real = _sample((64,), 0)
        for fake in (_sample((64,), 1), _sample((64,), 1, 0.6), _sample((64,), 1, 9.0)):
            for name, value in _bound(metric).values(real, fake).items():
                assert value >= metric.least, f"{name} must be at least {metric.least}, but is {value}"
                assert value <= metric.most, f"{name} must be at most {metric.most}, but is {value}"
                assert _kind(name) not in metric.shares or value <= 1, f"{name} is a share of tiles, but is {value}"

    def test_values_have_the_names_that_were_announced(self, metric: type[Metric]) -> None:
        """And these follow from the labels and the fewest tiles that are said."""
        for counts in SHARES:
            bound = _bound(metric)
            real, fake = _sample(counts, 0), _sample(counts, 1, shift=0.5)
            values, parts = bound.values(real, fake), ["" for _ in range(sum(counts) >= metric.min_tiles)]
            if metric.min_label_tiles is not None:
                enough = zip(LABEL_NAMES, counts, strict=False)
                parts += [f"/label/{name}" for name, count in enough if count >= metric.min_label_tiles]
            named = [f"{kind}/some/{sum(counts)}{part}" for kind in metric.kinds for part in parts]
            assert bound.names(real.labels) == named, f"names({counts}) is {bound.names(real.labels)}, not {named}"
            assert list(values) == named, f"of {counts} tiles values() has {list(values)}, but names() says {named}"
            _check_numbers(values, f"of {counts} tiles")

    def test_a_labels_score_is_that_of_its_tiles_alone(self, metric: type[Metric]) -> None:
        """No other label's tiles are in it."""
        if metric.min_label_tiles is None:
            return
        real, fake = _sample((40, 40, 5), 0), _sample((40, 40, 5), 1, shift=0.5)
        values = _bound(metric).values(real, fake)
        alone = _bound(metric).values(
            *(Sample(s.features[s.labels == 1], np.zeros(40, np.int64)) for s in (real, fake))
        )
        for kind in metric.kinds:
            among, by_itself = values[f"{kind}/some/85/label/{LABEL_NAMES[1]}"], alone[f"{kind}/some/40"]
            _check_close(among, by_itself, f"{kind} of a label among others and by itself", relative=1e-6)

    def test_a_domains_score_is_that_of_its_tiles_alone(self, metric: type[Metric]) -> None:
        """Where both sides say of which of several domains their tiles are, each with enough tiles has its own."""
        domains = np.repeat([0, 1, 2], (40, 40, 5))
        real, fake = (Sample(s.features, s.labels, domains) for s in (_sample((85,), 0), _sample((85,), 1, shift=0.5)))
        bound, few = metric("some", LABEL_NAMES, DOMAIN_NAMES), metric.min_label_tiles
        values = bound.values(real, fake)
        enough = [name for name, num in zip(DOMAIN_NAMES, (40, 40, 5), strict=True) if few is not None and num >= few]
        expected = [f"{kind}/some/85/domain/{name}" for kind in metric.kinds for name in enough]
        found = [name for name in values if "/domain/" in name]
        assert found == expected, f"of domains of 40, 40 and 5 tiles values() has {found}, not {expected}"
        announced = bound.names(real.labels, domains)
        assert list(values) == announced, f"values() has {list(values)}, but names() says {announced}"
        for name in found:
            chosen = domains == DOMAIN_NAMES.index(name.rpartition("/")[2])
            pair = (Sample(s.features[chosen], s.labels[chosen]) for s in (real, fake))
            alone = bound.values(*pair)[f"{_kind(name)}/some/{chosen.sum()}"]
            _check_close(values[name], alone, f"{name} among others and by itself", relative=1e-6)
        for others in (None, np.zeros(85, np.int64)):  # nobody said, or it is one domain
            unsaid = Sample(fake.features, fake.labels, others), Sample(real.features, real.labels, others)
            assert not any("/domain/" in name for name in bound.values(unsaid[1], unsaid[0]))

    def test_the_order_of_tiles_has_no_meaning(self, metric: type[Metric]) -> None:
        """Neither of all, nor within a label."""
        real, fake = _sample((40, 40), 0), _sample((40, 40), 1, shift=0.3)
        expected, bound = _bound(metric).values(real, fake), _bound(metric)
        order = np.random.default_rng(2).permutation(80)
        for turned in ((real, _in_order(fake, order)), (_in_order(real, order), fake)):
            for name, value in bound.values(*turned).items():
                _check_close(value, expected[name], f"{name} of tiles in two orders", relative=1e-6)

    def test_the_farther_away_the_worse_in_the_direction_that_is_said(self, metric: type[Metric]) -> None:
        """Of generated tiles farther and farther from the real ones every score becomes worse."""
        found = [_bound(metric).values(_sample((200,), 0), _sample((200,), 1, shift)) for shift in (0.0, 0.6, 1.2)]
        for name in found[0]:
            for near, far in pairwise(values[name] for values in found):
                _check_better(metric, name, {"tiles nearer to the real ones": near, "tiles farther away": far})

    def test_nothing_scores_better_than_the_real_tiles_themselves(self, metric: type[Metric]) -> None:
        """Not tiles elsewhere, and not a few of them repeated, unless it asks of each tile alone."""
        real = _sample((200,), 0)
        itself = _bound(metric).values(real, Sample(real.features.copy(), real.labels))
        others = {
            "other tiles": _sample((200,), 1, shift=0.6).features,
            "8 of the real ones repeated": np.resize(real.features[:8], real.features.shape),
        }
        for what, features in others.items():
            for name, value in _bound(metric).values(real, Sample(features, real.labels)).items():
                if what == "other tiles" or _kind(name) not in metric.of_each_tile:
                    _check_better(metric, name, {"the real tiles themselves": itself[name], what: value})

    def test_the_ends_of_an_interval_hold_its_score(self, metric: type[Metric]) -> None:
        """Where it has one, of all tiles and of a label."""
        values = _bound(metric).values(_sample((64, 64), 0), _sample((64, 64), 1, 0.3))
        for name in values:
            low, high = interval_names(name)
            assert (low in values) == (high in values), f"{name} has one end of an interval, but not the other"
            if low in values:
                assert values[low] < values[name] < values[high], (
                    f"{name} must lie within its interval, but {values[name]} is not between {values[low]} and "
                    f"{values[high]}"
                )

    def test_tiles_that_are_all_alike_have_scores_that_are_numbers(self, metric: type[Metric]) -> None:
        """A generator that has collapsed is scored as any other: a sweep swallows NaN without a word."""
        labels = np.zeros(40, np.int64)
        for number in (0, 3):
            fake = Sample(np.full((40, 7), number, np.float32), labels)
            for real in (Sample(fake.features.copy(), labels), _sample((40,), 0)):
                _check_numbers(_bound(metric).values(real, fake), f"of features that are all {number}")

    def test_what_is_compared_stays_as_it_was_and_so_does_global_randomness(self, metric: type[Metric]) -> None:
        """The real tiles' features are met again every round, on several threads."""
        real, fake = _sample((64, 64), 0), _sample((64, 64), 1, 0.3)
        for sample in (real, fake):
            sample.features.flags.writeable = sample.labels.flags.writeable = False
        state = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
        first, second = (_bound(metric).values(real, fake) for _ in range(2))
        assert np.array_equal(state, np.random.get_state()[1]), (  # type: ignore[index]  # noqa: NPY002
            "it draws from NumPy's global state: use fedray.randomness.stream"
        )
        assert first == second, f"two calls with the same tiles differ: {first} and {second}"


def _bound(metric: type[Metric]) -> Metric:
    return metric("some", LABEL_NAMES)


def _sample(counts: Sequence[int], seed: int, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return Sample(rng.normal(shift, 1.0, (len(labels), 7)).astype(np.float32), labels)


def _in_order(sample: Sample, order: NDArray[np.int64]) -> Sample:
    return Sample(sample.features[order], sample.labels[order])


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _check_numbers(values: Scores, what: str) -> None:
    for name, value in values.items():
        assert type(value) is float, f"{name} must be a float, but is a {type(value).__name__}"
        assert np.isfinite(value), f"{name} {what} must be a finite number, but is {value}"


def _check_close(found: float, expected: float, what: str, relative: float) -> None:
    assert abs(found - expected) <= relative * abs(expected) + 1e-12, f"{what} must agree: {found} and {expected}"


def _check_better(metric: type[Metric], name: str, scored: Mapping[str, float]) -> None:
    """Check that the first of two scored better than the second."""
    mode = metric.kinds[_kind(name)]
    if mode is None:
        return
    (first, better), (second, worse) = scored.items()
    assert better < worse if mode == "min" else better > worse, (
        f"{name} has mode {mode!r}, so {first} must score better than {second}, but they score {better} and {worse}"
    )
