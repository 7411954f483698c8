"""Every metric that is registered passes the suite; names of scores find their metric."""

import pytest

from fedray.evaluation.metrics import METRICS, TEXTURE_METRICS, metrics_of, mode_of, registered
from fedray.testing import MetricSuite


@pytest.mark.parametrize("metric", registered())
class TestMetrics(MetricSuite):
    pass


def test_a_kind_belongs_to_one_metric() -> None:
    kinds = [kind for metric in registered() for kind in metric.kinds]
    assert len(kinds) == len(set(kinds))


def test_a_metric_is_asked_in_every_kind_of_features_that_it_is_registered_for() -> None:
    asked = [(type(metric), metric.features) for metric in metrics_of("some", ["a"])]
    expected = {*((metric, "some") for metric in METRICS), *((metric, "texture") for metric in TEXTURE_METRICS)}
    assert set(asked) == expected and len(asked) == len(expected)


def test_what_is_no_score_has_no_direction() -> None:
    assert mode_of("fid/domain-cnn/256") == "min" and mode_of("coverage/x/9/label/c2st-low/1") == "max"
    assert mode_of("distance/texture/256") == "min"
    assert mode_of("c2st-low/texture/256") is None and mode_of("loss/generator") is None and mode_of("") is None
