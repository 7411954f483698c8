"""Networks, adversarial objectives and one local training pass: plain PyTorch, no Flower, no Ray."""

from fedray.models.backbones import weights_file
from fedray.models.conditions import Condition
from fedray.models.device import training_device
from fedray.models.discriminators import Discriminator
from fedray.models.errors import DivergedError, ModelError
from fedray.models.finite import check_finite
from fedray.models.fresh import fresh_gan
from fedray.models.gan import DISCRIMINATOR_PARTS, GENERATOR_PARTS, PARTS, Gan, to_float, warm_decay
from fedray.models.generators import LabelledGenerator
from fedray.models.judgements import Judgement
from fedray.models.learner import Arrays, Learner
from fedray.models.local_pass import (
    PassReport,
    RunningMeans,
    local_pass,
    shuffled_batches,
    steps_per_round,
)
from fedray.models.objectives import OBJECTIVES, Objective
from fedray.models.optimizers import Optimizers
from fedray.models.penalties import PENALTIES, gradient_penalty, r1_penalty
from fedray.models.sharing import private_parts, shared_parts
from fedray.models.steps import GanSteps, GradientHook, proximal

__all__ = [
    "DISCRIMINATOR_PARTS",
    "GENERATOR_PARTS",
    "OBJECTIVES",
    "PARTS",
    "PENALTIES",
    "Arrays",
    "Condition",
    "Discriminator",
    "DivergedError",
    "Gan",
    "GanSteps",
    "GradientHook",
    "Judgement",
    "LabelledGenerator",
    "Learner",
    "ModelError",
    "Objective",
    "Optimizers",
    "PassReport",
    "RunningMeans",
    "check_finite",
    "fresh_gan",
    "gradient_penalty",
    "local_pass",
    "private_parts",
    "proximal",
    "r1_penalty",
    "shared_parts",
    "shuffled_batches",
    "steps_per_round",
    "to_float",
    "training_device",
    "warm_decay",
    "weights_file",
]
