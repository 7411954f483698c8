"""Which values of a score are good, whatever it is a score of."""

from fedray.evaluation import metrics
from fedray.evaluation.classification import KINDS
from fedray.evaluation.metrics.base import Mode


def mode_of(name: str) -> Mode | None:
    """Say which values of a score are good; None: the name is no score, or the end of a score's interval."""
    return metrics.mode_of(name) or KINDS.get(name.partition("/")[0])
