"""Networks, adversarial objectives and one local training pass: plain PyTorch, no Flower, no Ray."""

from fedray.models.gan import DISCRIMINATOR_PARTS, GENERATOR_PARTS, PARTS, Arrays, Gan
from fedray.models.generators import TileShape
from fedray.models.local_pass import Optimizers, PassReport, local_pass, steps_per_round
from fedray.models.objectives import OBJECTIVES, Objective, gradient_penalty

__all__ = [
    "DISCRIMINATOR_PARTS",
    "GENERATOR_PARTS",
    "OBJECTIVES",
    "PARTS",
    "Arrays",
    "Gan",
    "Objective",
    "Optimizers",
    "PassReport",
    "TileShape",
    "gradient_penalty",
    "local_pass",
    "steps_per_round",
]
