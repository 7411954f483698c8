"""GANs: networks, adversarial objectives and one local training pass. Plain PyTorch, no Flower, no Ray."""

from fedray.tasks.gan.backbones import weights_file
from fedray.tasks.gan.discriminators import Discriminator
from fedray.tasks.gan.fresh import fresh_gan, gan_with
from fedray.tasks.gan.gan import DISCRIMINATOR_PARTS, GENERATOR_PARTS, PARTS, Gan
from fedray.tasks.gan.generators import LabelledGenerator
from fedray.tasks.gan.judgements import Judgement
from fedray.tasks.gan.local_pass import local_pass
from fedray.tasks.gan.objectives import OBJECTIVES, Objective
from fedray.tasks.gan.optimizers import Optimizers
from fedray.tasks.gan.penalties import PENALTIES, gradient_penalty, r1_penalty
from fedray.tasks.gan.sharing import private_parts, shared_parts
from fedray.tasks.gan.steps import GanSteps

__all__ = [
    "DISCRIMINATOR_PARTS",
    "GENERATOR_PARTS",
    "OBJECTIVES",
    "PARTS",
    "PENALTIES",
    "Discriminator",
    "Gan",
    "GanSteps",
    "Judgement",
    "LabelledGenerator",
    "Objective",
    "Optimizers",
    "fresh_gan",
    "gan_with",
    "gradient_penalty",
    "local_pass",
    "private_parts",
    "r1_penalty",
    "shared_parts",
    "weights_file",
]
