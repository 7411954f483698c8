"""Classification: networks that tell labels of tiles, and one local training pass. Plain PyTorch, no Flower, no Ray."""

from fedray.tasks.classification.classifier import PART, Classifier
from fedray.tasks.classification.local_pass import balanced_weights, local_pass
from fedray.tasks.classification.optimizer import ClassifierOptimizer, learning_rate
from fedray.tasks.classification.validation import best_evaluation, cross_entropy, out_of_patience, split_validation

__all__ = [
    "PART",
    "Classifier",
    "ClassifierOptimizer",
    "balanced_weights",
    "best_evaluation",
    "cross_entropy",
    "learning_rate",
    "local_pass",
    "out_of_patience",
    "split_validation",
]
