"""Local only: every client trains alone, as if there were no others. The lower bound of a table of strategies.

All begin with the same network, and nothing of one leaves its client: what it is worth to train together is what a
strategy gains over this. The other bound is ``federation.mode`` 'centralised'.
"""

from collections.abc import Sequence

from flwr.serverapp.strategy import FedAvg, Strategy

from fedray.config import ExperimentConfig
from fedray.federation.strategies.base import COMMON, ClientHalf, MakeLearner
from fedray.learning import Learner
from fedray.tasks import shared_parts


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return Flower's strategy, which has nothing to average."""
    return FedAvg(**COMMON)


class Alone(ClientHalf):
    """Lets nothing travel."""

    def own(self, learner: Learner) -> Sequence[str]:
        """Name all arrays that would be averaged."""
        return list(learner.arrays(shared_parts(self.config)))


client = Alone
