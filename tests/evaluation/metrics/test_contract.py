"""What every metric must do, whoever wrote it."""

from itertools import pairwise

import numpy as np
import pytest

from fedray.evaluation.metrics import METRICS, TEXTURE_METRICS, Metric, Sample, interval_names, mode_of

LABEL_NAMES = ("gland", "stroma/16", "label", "lost")
ALL = sorted({*METRICS, *TEXTURE_METRICS}, key=lambda metric: metric.__name__)
SHARES = [(16, 0, 0), (40, 40, 5), (40, 32, 31), (10, 2, 1), (64, 1, 64), (2, 1, 0), (9, 0, 0)]


def sample(counts: tuple[int, ...], seed: int, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return Sample(rng.normal(shift, 1.0, (len(labels), 7)).astype(np.float32), labels)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("counts", SHARES)
def test_values_have_the_names_that_were_announced(metric: type[Metric], counts: tuple[int, ...]) -> None:
    bound = metric("some", LABEL_NAMES)
    real, fake = sample(counts, 0), sample(counts, 1, shift=0.5)
    values = bound.values(real, fake)
    assert list(values) == bound.names(real.labels)
    assert np.isfinite(list(values.values())).all()
    n = sum(counts)
    parts = ["" for _ in range(n >= metric.min_tiles)]
    if metric.min_label_tiles is not None:
        parts += [
            f"/label/{name}"
            for name, count in zip(LABEL_NAMES, counts, strict=False)
            if count >= metric.min_label_tiles
        ]
    assert list(values) == [f"{kind}/some/{n}{part}" for kind in metric.kinds for part in parts]


@pytest.mark.parametrize("metric", ALL)
def test_a_labels_score_is_that_of_its_tiles_alone(metric: type[Metric]) -> None:
    real, fake = sample((40, 40, 5), 0), sample((40, 40, 5), 1, shift=0.5)
    values = metric("some", LABEL_NAMES).values(real, fake)
    alone = metric("some", LABEL_NAMES).values(
        *(Sample(s.features[s.labels == 1], np.zeros(40, np.int64)) for s in (real, fake))
    )
    for kind in metric.kinds:
        if metric.min_label_tiles is not None:
            assert values[f"{kind}/some/85/label/stroma/16"] == pytest.approx(alone[f"{kind}/some/40"])


@pytest.mark.parametrize("metric", ALL)
def test_the_order_of_tiles_has_no_meaning(metric: type[Metric]) -> None:
    real, fake = sample((40, 40), 0), sample((40, 40), 1, shift=0.3)
    order = np.random.default_rng(2).permutation(80)
    shuffled = Sample(fake.features[order], fake.labels[order])
    bound = metric("some", LABEL_NAMES)
    assert bound.values(real, shuffled) == pytest.approx(bound.values(real, fake), rel=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_the_farther_away_the_worse_in_the_direction_that_is_said(metric: type[Metric]) -> None:
    bound = metric("some", LABEL_NAMES)
    found = [bound.values(sample((200,), 0), sample((200,), 1, shift)) for shift in (0.0, 0.6, 1.2)]
    for name in found[0]:
        mode = mode_of(name)
        sign = {"min": 1, "max": -1, None: 0}[mode]
        for near, far in pairwise(values[name] for values in found):
            assert sign * near < sign * far or mode is None


@pytest.mark.parametrize("metric", ALL)
def test_the_ends_of_an_interval_hold_its_score(metric: type[Metric]) -> None:
    values = metric("some", LABEL_NAMES).values(sample((64,), 0), sample((64,), 1, 0.3))
    ends = {name for name in values if mode_of(name) is None}
    held = {name for name in values if interval_names(name)[0] in values}
    assert ends == {end for name in held for end in interval_names(name)}
    for name in held:
        low, high = (values[end] for end in interval_names(name))
        assert low < values[name] < high


def test_what_is_no_score_has_no_direction() -> None:
    assert mode_of("fid/domain-cnn/256") == "min" and mode_of("coverage/x/9/label/c2st-low/1") == "max"
    assert mode_of("c2st-low/texture/256") is None and mode_of("loss/generator") is None and mode_of("") is None
