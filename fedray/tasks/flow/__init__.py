"""Flow matching: a network that carries noise into tiles, and one local training pass. No Flower, no Ray."""

from fedray.tasks.flow.flow import AVERAGE, PART, PARTS, Flow, LabelledSampler
from fedray.tasks.flow.local_pass import local_pass
from fedray.tasks.flow.optimizer import FlowOptimizer, learning_rate
from fedray.tasks.flow.samplers import SAMPLERS

__all__ = [
    "AVERAGE",
    "PART",
    "PARTS",
    "SAMPLERS",
    "Flow",
    "FlowOptimizer",
    "LabelledSampler",
    "learning_rate",
    "local_pass",
]
