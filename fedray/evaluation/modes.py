"""Which values of a score are good, and which it can have, whatever it is a score of."""

from fedray.evaluation import metrics
from fedray.evaluation.classification import KINDS
from fedray.evaluation.metrics.base import Mode


def mode_of(name: str) -> Mode | None:
    """Say which values of a score are good; None: the name is no score, or the end of a score's interval."""
    return metrics.mode_of(name) or KINDS.get(name.partition("/")[0])


def range_of(name: str) -> tuple[float, float]:
    """Say which values a score can have at all; any, where the name is no score."""
    return (0.0, 1.0) if name.partition("/")[0] in KINDS else metrics.range_of(name)
