"""Contract suites: what your strategy, task, metric, extractor or report must do, as tests that you import and run.

FedRay's own entries pass the same suites (docs/extending.md). Nothing here needs pytest, and nothing else imports this.
"""

from fedray.testing.destructions import DestructionSuite
from fedray.testing.extractors import ExtractorSuite
from fedray.testing.local_grid import LocalGrid
from fedray.testing.metrics import MetricSuite
from fedray.testing.reports import ReportSuite
from fedray.testing.small import noise_tiles, small_experiment
from fedray.testing.strategies import StrategySuite
from fedray.testing.suite import Suite
from fedray.testing.tasks import TaskSuite
from fedray.testing.textures import real_textures, texture_labels, texture_tiles

__all__ = [
    "DestructionSuite",
    "ExtractorSuite",
    "LocalGrid",
    "MetricSuite",
    "ReportSuite",
    "StrategySuite",
    "Suite",
    "TaskSuite",
    "noise_tiles",
    "real_textures",
    "small_experiment",
    "texture_labels",
    "texture_tiles",
]
