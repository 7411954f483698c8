"""What every family of models learns with: batches, augmentation, arrays, reports. Plain PyTorch, no Flower, no Ray."""

from fedray.learning.augmentation import DIFF_AUGMENTS, turn_and_flip
from fedray.learning.averages import warm_decay
from fedray.learning.conditions import Condition
from fedray.learning.device import computes_in_bfloat16, training_device
from fedray.learning.errors import DivergedError, ModelError
from fedray.learning.finite import check_finite
from fedray.learning.hooks import ClassifierHook, Hook, Proximal
from fedray.learning.learner import Arrays, Learner, copies_of, copy_in
from fedray.learning.passes import Losses, PassReport, RunningMeans, shuffled_batches, steps_per_round
from fedray.learning.pixels import to_float, to_uint8
from fedray.learning.sampling import make_tiles, wanted_condition

__all__ = [
    "DIFF_AUGMENTS",
    "Arrays",
    "ClassifierHook",
    "Condition",
    "DivergedError",
    "Hook",
    "Learner",
    "Losses",
    "ModelError",
    "PassReport",
    "Proximal",
    "RunningMeans",
    "check_finite",
    "computes_in_bfloat16",
    "copies_of",
    "copy_in",
    "make_tiles",
    "shuffled_batches",
    "steps_per_round",
    "to_float",
    "to_uint8",
    "training_device",
    "turn_and_flip",
    "wanted_condition",
    "warm_decay",
]
