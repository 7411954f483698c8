"""What a round is: this dict is the list of them, by ``federation.mode``.

Importing them registers what their clients answer to (``client_app``).
"""

from typing import cast

from fedray.config import ExperimentConfig
from fedray.federation.rounds import averaging, fedssg, md_gan
from fedray.federation.rounds.base import Round, Step

__all__ = ["ROUNDS", "Round", "Step", "round_of"]

ROUNDS: dict[str, Round] = {
    "federated": cast(Round, averaging),
    "centralised": cast(Round, averaging),  # of one client that has all tiles
    "fedssg": cast(Round, fedssg),
    "md-gan": cast(Round, md_gan),
}


def round_of(config: ExperimentConfig) -> Round:
    """Return what a round of an experiment is."""
    return ROUNDS[config.federation.mode]
