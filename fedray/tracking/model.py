"""Generators as MLflow models: exported graphs (pt2) that load without FedRay and without unpickling code."""

import contextlib
import copy
import importlib.metadata
import inspect
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fedray.tracking.names import mlflow_key, storable

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_MAX_TAG_LENGTH = 8000


def save_model(
    model: nn.Module, example_inputs: tuple[Tensor, ...], folder: Path, metadata: Mapping[str, object] | None = None
) -> None:
    """Write a model as an MLflow model folder, in evaluation mode, on the CPU, for any batch size.

    The format is ``torch.export``'s pt2: a graph and its tensors. Loading it needs neither FedRay nor unpickled code.
    An exported model stays on the device it was exported on, hence the CPU.

    Args:
        model: Unchanged: a copy is exported.
        example_inputs: One batch of the arguments of ``forward``, each [N, ...]; torch.export would fix a batch of one
            at that size, so such a batch is doubled.
        folder: Must not exist.
        metadata: Plain values for the model's ``MLmodel`` file.
    """
    inputs = tuple(_batch_of_two(value.detach().cpu()) for value in example_inputs)
    exported = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    with _quiet():
        import mlflow.pytorch

        mlflow.pytorch.save_model(
            exported,
            str(folder),
            input_example=inputs,
            signature=_signature(exported, inputs),
            serialization_format="pt2",
            metadata=_plain(dict(metadata or {})),
            # Given, because MLflow otherwise loads the model in another process to find out.
            pip_requirements=[f"torch=={importlib.metadata.version('torch').split('+')[0]}"],
        )


def model_tags(metadata: Mapping[str, object]) -> dict[str, str]:
    """Return what a reader of a model must know as its tags."""
    return {mlflow_key(f"fedray.{key}"): _tag(value) for key, value in _plain(metadata).items()}


def _plain(value: Any) -> Any:
    """Return metadata with texts that any file and database takes."""
    if isinstance(value, str):
        return storable(value, sys.maxsize)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, Sequence) else value


def _tag(value: object) -> str:
    return storable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _MAX_TAG_LENGTH)


def _batch_of_two(value: Tensor) -> Tensor:
    return value if value.shape[0] > 1 else torch.cat([value, value])


def _signature(model: nn.Module, inputs: tuple[Tensor, ...]) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    def spec(value: Tensor, name: str | None = None) -> Any:
        return TensorSpec(value.numpy().dtype, (-1, *value.shape[1:]), name)

    names = inspect.signature(model.forward).parameters
    with torch.no_grad():
        output = model(*inputs)
    input_specs = [spec(value, name) for value, name in zip(inputs, names, strict=False)]
    return ModelSignature(inputs=Schema(input_specs), outputs=Schema([spec(output)]))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about the export and the environment's pip, on which no reader of a training log can act.

    The process's logging is put back afterwards: ``mlflow.pytorch`` calls ``logging.basicConfig(level=ERROR)`` when it
    is imported, which would hide every later warning of the whole process.
    """
    root, environment = logging.getLogger(), logging.getLogger("mlflow.utils.environment")
    handlers, levels = list(root.handlers), (root.level, environment.level)
    environment.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        environment.setLevel(levels[1])
