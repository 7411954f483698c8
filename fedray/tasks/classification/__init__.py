"""Classification: networks that tell labels of tiles, and one local training pass. Plain PyTorch, no Flower, no Ray."""

from fedray.tasks.classification.classifier import PART, Classifier
from fedray.tasks.classification.local_pass import balanced_weights, local_pass
from fedray.tasks.classification.optimizer import ClassifierOptimizer, learning_rate
from fedray.tasks.classification.validation import cross_entropy, split_validation

__all__ = [
    "PART",
    "Classifier",
    "ClassifierOptimizer",
    "balanced_weights",
    "cross_entropy",
    "learning_rate",
    "local_pass",
    "split_validation",
]
