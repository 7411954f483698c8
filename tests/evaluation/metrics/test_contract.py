"""Every metric that is registered passes the suite; names of scores find their metric."""

import pytest

from fedray.evaluation.metrics import METRICS, TEXTURE_METRICS, mode_of
from fedray.testing import MetricSuite


@pytest.mark.parametrize("metric", dict.fromkeys([*METRICS, *TEXTURE_METRICS]))
class TestMetrics(MetricSuite):
    pass


def test_a_kind_belongs_to_one_metric() -> None:
    kinds = [kind for metric in METRICS for kind in metric.kinds]
    assert len(kinds) == len(set(kinds))


def test_what_is_no_score_has_no_direction() -> None:
    assert mode_of("fid/domain-cnn/256") == "min" and mode_of("coverage/x/9/label/c2st-low/1") == "max"
    assert mode_of("c2st-low/texture/256") is None and mode_of("loss/generator") is None and mode_of("") is None
