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
from fedray.tracking.outbox import Delivery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
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


def model_delivery(
    folder: Path,
    name: str,
    run_id: str,
    experiment_id: str,
    step: int,
    metrics: "Sequence[Metric]",
    metadata: Mapping[str, object],
) -> tuple[Delivery, list[str]]:
    """Return the delivery of a saved model, and a list that holds the model's id once it is sent.

    Args:
        folder: As :func:`save_model` wrote it.
        name: The model's name.
        run_id: The run that made it.
        experiment_id: The run's.
        step: The model's round.
        metrics: Scores of the model, so that ``search_logged_models`` can order by them.
        metadata: For the model's tags.
    """
    created: list[str] = []
    tags = {mlflow_key(f"fedray.{key}"): _tag(value) for key, value in _plain(metadata).items()}

    def send(client: "MlflowClient") -> None:
        from mlflow.entities import LoggedModelOutput, Metric

        if not created:
            model = client.create_logged_model(
                experiment_id, name=name, source_run_id=run_id, model_type=name, tags=tags
            )
            _name_in_folder(folder, model.model_id, run_id, model.artifact_location)
            created.append(model.model_id)
        client.log_model_artifacts(created[0], str(folder))
        entries = [Metric(m.key, m.value, m.timestamp, m.step, model_id=created[0]) for m in metrics]
        client.log_batch(run_id, metrics=entries)
        client.finalize_logged_model(created[0], "READY")
        client.log_outputs(run_id, [LoggedModelOutput(created[0], step=step)])

    return Delivery(f"model {name} of round {step}", send, folder), created


def _name_in_folder(folder: Path, model_id: str, run_id: str, location: str) -> None:
    """Write ids that only the server gives into the model's own description, as ``log_model`` does."""
    from mlflow.models import Model

    description = Model.load(str(folder))
    description.model_id = description.model_uuid = model_id
    description.run_id = run_id
    description.artifact_path = location
    description.save(str(folder / "MLmodel"))


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
