"""Typed, validated configuration: the models, their YAML, their paths and their command line."""

from fedray.config.classification import ClassificationConfig
from fedray.config.data import SITES, DataConfig, PartitionConfig
from fedray.config.evaluation import EvaluationConfig
from fedray.config.federation import FederationConfig, PrivacyConfig
from fedray.config.flow import FlowConfig
from fedray.config.gan import PROJECTED, RECIPES, GanConfig, Recipe
from fedray.config.gate import GateConfig
from fedray.config.loading import (
    ConfigError,
    describe,
    find_yaml,
    load_config,
    override,
    read_yaml,
    save_config,
    to_yaml,
    validate,
)
from fedray.config.paths import config_paths, flatten, nearest_name, nest
from fedray.config.resources import ResourcesConfig, TrackingConfig
from fedray.config.schema import ExperimentConfig
from fedray.config.section import Family
from fedray.config.strategies import STRATEGIES
from fedray.config.tasks import TASKS

__all__ = [
    "PROJECTED",
    "RECIPES",
    "SITES",
    "STRATEGIES",
    "TASKS",
    "ClassificationConfig",
    "ConfigError",
    "DataConfig",
    "EvaluationConfig",
    "ExperimentConfig",
    "Family",
    "FederationConfig",
    "FlowConfig",
    "GanConfig",
    "GateConfig",
    "PartitionConfig",
    "PrivacyConfig",
    "Recipe",
    "ResourcesConfig",
    "TrackingConfig",
    "config_paths",
    "describe",
    "find_yaml",
    "flatten",
    "load_config",
    "nearest_name",
    "nest",
    "override",
    "read_yaml",
    "save_config",
    "to_yaml",
    "validate",
]
