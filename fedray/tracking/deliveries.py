"""What a run sends to MLflow beside its metrics: as data, so that another process can send it as well.

Sending a delivery twice, from one process or from two, leaves what sending it once does.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_SENT_AS = "fedray_delivery"
"""Tag of a model, by which it is found again where the server's answer was lost, or the process that sent it."""
_METRICS_PER_BATCH = 1000  # MLflow's limit


@dataclass(frozen=True, eq=False)
class Delivery:
    """One thing to send; sending it twice must do no harm."""

    what: str
    """Its name in messages, such as ``config.yaml``."""
    kind: str
    """One of :data:`SENDERS`."""
    content: dict[str, Any] = field(default_factory=dict)
    """What is sent, as JSON can hold it. A sender notes in it what only the server can say."""
    files: Path | None = None
    """A folder on the local disk with what is sent, which is removed once it is."""

    def send(self, client: "MlflowClient", run_id: str) -> None:
        """Send it to a run. Errors are MLflow's, or of what is below it."""
        SENDERS[self.kind](client, run_id, self.content, self.files)

    @property
    def num_bytes(self) -> int:
        """Size of the files, in bytes."""
        paths = [] if self.files is None else self.files.rglob("*")
        return sum(path.stat().st_size for path in paths if path.is_file())

    def discard(self) -> None:
        """Remove the files."""
        if self.files is not None:
            shutil.rmtree(self.files, ignore_errors=True)


def metrics_delivery(metrics: "Sequence[Metric]") -> Delivery:
    """Return metrics as a delivery. One that MLflow has, with its time, is stored once, however often it is sent."""
    steps = sorted({metric.step for metric in metrics})
    what = f"the metrics of round{f's {steps[0]} to' if len(steps) > 1 else ''} {steps[-1]}"
    return Delivery(what, "metrics", {"metrics": [[m.key, m.value, m.timestamp, m.step] for m in metrics]})


def file_delivery(folder: Path, target: str = "") -> Delivery:
    """Return the one file or folder that is in a folder as a delivery; ``target`` is its folder among the artifacts."""
    (path,) = folder.iterdir()
    return Delivery(path.name, "file", {"target": "" if target == "." else target}, folder)


def model_delivery(
    folder: Path, name: str, experiment_id: str, step: int, metrics: "Sequence[Metric]", tags: Mapping[str, str]
) -> Delivery:
    """Return a saved model as a delivery; once it is sent, its ``content`` has the ``model_id``.

    A run has one model of a name and round: one that it has already gets what is sent now.

    Args:
        folder: As :func:`fedray.tracking.model.save_model` wrote it.
        name: The model's name.
        experiment_id: The run's.
        step: The model's round.
        metrics: Scores of the model, so that ``search_logged_models`` can order by them.
        tags: Of the model.
    """
    content = {
        "experiment_id": experiment_id,
        "name": name,
        "step": step,
        "metrics": [[m.key, m.value, m.timestamp, m.step] for m in metrics],
        "tags": dict(tags),
    }
    return Delivery(f"model {name} of round {step}", "model", content, folder)


def _send_parameters(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(name, value) for name, value in content.items()])


def _send_tags(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in content.items()])


def _send_metrics(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(*entry) for entry in content["metrics"]]
    for first in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[first : first + _METRICS_PER_BATCH])


def _send_data_set(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag(name, value) for name, value in content["tags"].items()]
    client.log_inputs(run_id, datasets=[DatasetInput(Dataset(**content["dataset"]), tags)])


def _send_file(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    assert files is not None, "a file is on its way"
    target = content["target"] or None
    for path in files.iterdir():
        if path.is_dir():
            client.log_artifacts(run_id, str(path), f"{target}/{path.name}" if target else path.name)
        else:
            client.log_artifact(run_id, str(path), target)


def _send_image(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    client.log_artifacts(run_id, str(files), "images")
    client.set_tag(run_id, "mlflow.loggedImages", "True")


def _send_model(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    from mlflow.entities import LoggedModelOutput, Metric

    assert files is not None, "a model is a folder"
    if "model_id" not in content:
        experiment_id, name, sent_as = content["experiment_id"], content["name"], f"{run_id} {content['step']}"
        query = f"name = '{name}' AND tags.{_SENT_AS} = '{sent_as}'"
        made = client.search_logged_models([experiment_id], query)
        model = (
            made[0]
            if made
            else client.create_logged_model(
                experiment_id,
                name=name,
                source_run_id=run_id,
                model_type=name,
                tags={**content["tags"], _SENT_AS: sent_as},
            )
        )
        _name_in_folder(files, model.model_id, run_id, model.artifact_location)
        content["model_id"] = model.model_id
    model_id = content["model_id"]
    client.log_model_artifacts(model_id, str(files))
    scores = [Metric(key, value, time, step, model_id=model_id) for key, value, time, step in content["metrics"]]
    client.log_batch(run_id, metrics=scores)
    client.finalize_logged_model(model_id, "READY")
    outputs = client.get_run(run_id).outputs
    if outputs is None or all(output.model_id != model_id for output in outputs.model_outputs):
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=content["step"])])  # MLflow refuses a second time


def _name_in_folder(folder: Path, model_id: str, run_id: str, location: str) -> None:
    """Write ids that only the server gives into the model's own description, as ``log_model`` does."""
    from mlflow.models import Model

    description = Model.load(str(folder))
    description.model_id = description.model_uuid = model_id
    description.run_id = run_id
    description.artifact_path = location
    description.save(str(folder / "MLmodel"))


def _send_end(client: "MlflowClient", run_id: str, content: dict[str, Any], files: Path | None) -> None:
    client.set_terminated(run_id, content["status"], content["end_time"])


SENDERS: dict[str, Callable[["MlflowClient", str, dict[str, Any], Path | None], None]] = {
    "parameters": _send_parameters,
    "tags": _send_tags,
    "metrics": _send_metrics,
    "data set": _send_data_set,
    "file": _send_file,
    "image": _send_image,
    "model": _send_model,
    "end": _send_end,
}
"""How each kind is sent: of a client, a run's id, what is said and a folder of files."""
