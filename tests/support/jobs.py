"""The jobs as their tests see them: loaded from their files, and how they ended."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from fedray.config import flatten

JOBS = Path(__file__).parents[2] / "jobs"


@dataclass(frozen=True)
class Finished:
    """How a job ended."""

    status: int
    output: str
    errors: str


Job = Callable[..., Finished]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, JOBS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where tyro looks for the source of its options
    spec.loader.exec_module(module)
    return module


SEARCH = {
    "gan.n_critic": {"type": "int", "low": 1, "high": 5},
    "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
}


def flat_yaml(text: str) -> dict[str, Any]:
    return flatten(yaml.safe_load(text))
