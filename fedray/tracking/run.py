"""One tracked run: rounds, config, pictures and models, sent to MLflow without ever holding up training."""

import json
import logging
import math
import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fedray.config import ExperimentConfig, flatten, to_yaml
from fedray.storage.owners import new_scratch_folder, remove_all
from fedray.tracking.deliveries import Delivery, file_delivery, model_delivery
from fedray.tracking.errors import TrackingError
from fedray.tracking.kept import UNSENT, Kept
from fedray.tracking.names import mlflow_key, picture_key, storable
from fedray.tracking.outbox import Outbox
from fedray.tracking.retry import outlast

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

_logger = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]

# MLflow's limits.
_MAX_PARAM_LENGTH = 6000
_PARAMS_PER_BATCH = 100
_MAX_DIGEST_LENGTH = 36
_MAX_DATASET_NAME_LENGTH = 500
_MAX_NOTE_LENGTH = 8000


class TileStoreDescription(Protocol):
    """What of a tile store is logged; ``fedray.data.TileStore`` has it."""

    @property
    def path(self) -> object: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> object: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def tile_size(self) -> int: ...  # noqa: D102
    @property
    def label_names(self) -> Sequence[str]: ...  # noqa: D102


class TrackedRun:
    """A run in MLflow; made by :meth:`fedray.tracking.Tracker.start_run`, usable from several threads.

    Nothing here but :meth:`finish` raises because the server is away or refuses: what cannot be sent waits and is tried
    again with later rounds, and ``finish`` says what was lost.
    """

    def __init__(
        self,
        client: "MlflowClient",
        uri: str,
        opened: "Run",
        real_tiles: bool,
        flush_interval_s: float,
        patience_s: float,
        kept_in: str | None = None,
    ) -> None:
        """Take over an open run.

        Args:
            client: Of MLflow.
            uri: The tracking address.
            opened: The run, with what it has already.
            real_tiles: Whether it may show some.
            flush_interval_s: As of :class:`~fedray.tracking.Tracker`, as the rest.
            patience_s: The same.
            kept_in: The same.
        """
        self.run_id: str = opened.info.run_id
        self.real_tiles = real_tiles
        self.experiment_id = str(opened.info.experiment_id)
        self.uri = uri
        self._client = client
        self._known_params = dict(opened.data.params)
        self._known = {metric.key: metric for metric in opened.data.to_proto().metrics}  # the latest of each key
        self._known_images: set[str] | None = None if opened.data.params or self._known else set()
        self._flush_interval_s = flush_interval_s
        self._patience_s = patience_s
        self._last_flush = -math.inf
        self._last_round: list[Metric] = []
        self._finished = False
        self._kept_in = kept_in
        self._outbox = Outbox(client, self.run_id, uri, Kept(kept_in, self.run_id, uri) if kept_in else None)
        self._spool = new_scratch_folder()
        self._num_spooled = 0
        self._lock = threading.Lock()

    def log_round(self, round_index: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of one round, in one request together with what waits of earlier rounds.

        NaN and infinities are kept (MLflow stores an infinity as the largest float). Names become keys by
        :func:`fedray.tracking.mlflow_key`. A round that is repeated after a resume is what it was: what MLflow has of
        it is not sent again.

        Args:
            round_index: The step, >= 0; NumPy's integers too.
            metrics: Values by name.
        """
        entries = self._last_round = self._entries(metrics, round_index)
        self._add_metrics([entry for entry in entries if entry.step > self._known_step(entry.key)])

    def log_figures(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log figures that may come out otherwise each time, as the best score of a sweep that goes on; see log_round.

        MLflow shows the latest of a step, and keeps the others in the history.
        """
        entries = [(entry, self._as_known(entry)) for entry in metric_entries(metrics, step)]
        self._add_metrics([there if there.value == entry.value else entry for entry, there in entries])

    def _entries(self, metrics: Mapping[str, float], step: int) -> "list[Metric]":
        return [self._as_known(entry) for entry in metric_entries(metrics, step)]

    def _as_known(self, entry: "Metric") -> "Metric":
        """Return an entry as MLflow has it, with its time, where it has one of that step: stored once, sent again."""
        from mlflow.entities import Metric

        known = self._known.get(entry.key)
        if known is None or known.step != entry.step:
            return entry
        return Metric(entry.key, known.value, known.timestamp, entry.step)

    def _known_step(self, key: str) -> int:
        return int(self._known[key].step) if key in self._known else -1

    def _add_metrics(self, entries: "Sequence[Metric]") -> None:
        self._outbox.add_metrics(entries)
        if time.monotonic() - self._last_flush >= self._flush_interval_s:
            self._send()

    def flush(self) -> bool:
        """Send what waits, unless the server failed a moment ago; what still waits then is kept beside the results.

        Returns:
            Whether everything is sent.

        Raises:
            StorageError: Something waits, and the results' storage does not answer.
            OSError: Something waits, and the results' disk takes nothing.
        """
        if self._send():
            return True
        self._outbox.keep()
        return False

    def _send(self) -> bool:
        self._last_flush = time.monotonic()
        return self._outbox.flush()

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters. One that the run has already keeps its first value, for MLflow cannot change it."""
        texts = {mlflow_key(name): storable(str(value), _MAX_PARAM_LENGTH) for name, value in params.items()}
        with self._lock:
            changed = [name for name, text in texts.items() if self._known_params.get(name, text) != text]
            new = [(name, text) for name, text in texts.items() if name not in self._known_params]
            self._known_params = texts | self._known_params
        if changed:
            _logger.warning("run %s was started with other values of %s, which stay", self.run_id, ", ".join(changed))
        for start in range(0, len(new), _PARAMS_PER_BATCH):
            batch = new[start : start + _PARAMS_PER_BATCH]
            self._outbox.add(Delivery("parameters", "parameters", dict(batch)))

    def log_config(self, config: ExperimentConfig) -> None:
        """Log the resolved config: as ``config.yaml`` for ``load_config``, and as parameters by dotted path."""
        self.log_params(flatten(config.model_dump(mode="json")))
        path = self._spooled("config.yaml")
        path.write_text(to_yaml(config), encoding="utf-8")
        self._deliver_file(path)

    def describe(self, markdown: str) -> None:
        """Set the description that the UI shows above the run."""
        note = {"mlflow.note.content": storable(markdown, _MAX_NOTE_LENGTH)}
        self._outbox.add(Delivery("description", "tags", note))

    def log_dataset(self, store: TileStoreDescription) -> None:
        """Log the tile store as the run's input; its digest begins the fingerprint, a tag has the whole."""
        profile = {"fingerprint": store.fingerprint, "tile_size": store.tile_size, "labels": list(store.label_names)}
        dataset = {
            "name": storable(store.name, _MAX_DATASET_NAME_LENGTH),
            "digest": store.fingerprint[:_MAX_DIGEST_LENGTH],
            "source_type": "local",
            "source": json.dumps({"uri": str(store.path), "source": store.source}, default=str),
            "profile": json.dumps(profile),
        }
        tags = {"mlflow.data.context": "training", "fedray.fingerprint": store.fingerprint}
        self._outbox.add(Delivery("data set", "data set", {"dataset": dataset, "tags": tags}))

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Log a matplotlib figure as it is now; ``name`` is its path among the artifacts (``figures/labels.png``)."""
        path = self._spooled(Path(name).name)
        figure.savefig(path, bbox_inches="tight")
        self._deliver_file(path, str(Path(name).parent))

    def log_image(
        self,
        image: npt.NDArray[np.uint8],
        key: str,
        step: int,
        *,
        beside_others: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """Log an image for the UI's image grid, where ``step`` is a slider.

        The files are those of MLflow's own ``log_image``, but for the copy that the grid shows: MLflow's has 256 px at
        the most, and edges blur.

        Args:
            image: [H, W, 3] uint8: what a click opens.
            key: What it shows (``samples``), the same in all rounds.
            step: The round.
            beside_others: The same in the size that the grid shows, [h, w, 3] uint8; unset: as it is.
        """
        from PIL import Image

        small = image if beside_others is None else beside_others
        for pixels in (image, small):
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise ValueError(f"image must be uint8 [H, W, 3], but got {pixels.dtype} {list(pixels.shape)}")
        if _image_prefix(key, int(step)) in self._images_there():
            return  # a round that is repeated after a resume
        path = self._spooled(_image_name(key, int(step)))
        Image.fromarray(image).save(path)
        # Without loss, for the edges of tiles and letters; quality is the time that it takes: here the least.
        shown = path.with_name(f"{path.stem}+compressed.webp")
        Image.fromarray(small).save(shown, lossless=True, quality=0, method=0)
        self._outbox.add(Delivery(f"image {key} of round {step}", "image", files=path.parent))

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Log a file or a folder as it is now, into ``folder`` among the artifacts."""
        copy = self._spooled(path.name)
        shutil.copytree(path, copy) if path.is_dir() else shutil.copy2(path, copy)
        self._deliver_file(copy, folder)

    def log_model(
        self,
        model: "torch.nn.Module",
        example_inputs: "tuple[torch.Tensor, ...]",
        name: str,
        step: int | None = None,
        *,
        metrics: Mapping[str, float] | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Log a model as an exported graph (pt2), which loads without FedRay and takes any batch size.

        Args:
            model: Exported in evaluation mode on the CPU; itself unchanged.
            example_inputs: One batch of the arguments of ``forward``.
            name: The model's, and its kind's.
            step: The round; unset: the last logged one.
            metrics: What ``search_logged_models`` can order the model by; the run gets them too, where it has not got
                them yet. Unset: those of the last logged round, where it is ``step``.
            metadata: What else a reader of the model must know, as plain values; stands in its ``MLmodel`` file and,
                as tags ``fedray.*``, beside it.

        Returns:
            The URI for ``mlflow.pytorch.load_model``: ``models:/ID``; ``runs:/RUN/NAME`` where the server is away,
            which holds once the model is sent.
        """
        from fedray.tracking.model import model_tags, save_model

        last = self._last_round[0].step if self._last_round else 0
        step = last if step is None else int(step)
        logged = {entry.key: entry for entry in self._last_round} if step == last else {}
        wanted = (
            list(logged.values())
            if metrics is None
            else [self._as_known(entry) for entry in metric_entries(metrics, step)]
        )
        # An entry that the run has already is given again as it is, and so stored once.
        entries = [logged.get(entry.key, entry) for entry in wanted]
        folder = self._spooled(name)
        save_model(model, example_inputs, folder, metadata or {})
        delivery = model_delivery(folder, name, self.experiment_id, step, entries, model_tags(metadata or {}))
        self._outbox.add(delivery)
        model_id = delivery.content.get("model_id")
        return f"models:/{model_id}" if model_id else f"runs:/{self.run_id}/{name}"

    def finish(self, status: Status, deadline_s: float | None = None) -> None:
        """Send everything that waits, then end the run with this status. A second call does nothing.

        What MLflow does not take in time is kept beside the results, with a warning that says how it is sent later.

        Args:
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            deadline_s: Longest to keep trying while the server is away, in seconds; unset: ``patience_s``.

        Raises:
            TrackingError: Something was refused, or could not be sent and there is no place to keep it; the message
                names it. The status is set all the same where that is possible.
            StorageError: Something could not be sent, and the results' storage does not answer.
            OSError: Something could not be sent, and the results' disk takes nothing.
        """
        if self._finished:
            return
        self._finished = True
        ends_at = time.monotonic() + (self._patience_s if deadline_s is None else deadline_s)
        problems = [self._drained(ends_at), self._ended(status, ends_at)]
        if kept := self._outbox.keep():
            where = f"{self._kept_in}/{UNSENT}"
            problems.append(f"It is kept in {where}: jobs/sync.py sends it, or the same job with --resume")
        remove_all(self._spool)
        told = "\n".join(filter(None, problems))
        if told and (self._outbox.lost or not kept):
            raise TrackingError(told)
        if told:
            _logger.warning("%s", told)

    def _drained(self, ends_at: float) -> str:
        """Send everything until a time; returns what went wrong."""
        try:
            self._outbox.drain(max(0.0, ends_at - time.monotonic()))
        except TrackingError as error:
            return str(error)
        return ""

    def _ended(self, status: Status, ends_at: float) -> str:
        """Set the status until a time; returns what went wrong, and leaves it to who sends the rest."""
        failure, now_ms = f"run {self.run_id} could not be set to {status}", time.time_ns() // 1_000_000
        try:
            outlast(
                lambda: self._client.set_terminated(self.run_id, status, now_ms),
                max(0.0, ends_at - time.monotonic()), failure, self.uri,
            )  # fmt: skip
        except TrackingError as error:
            self._outbox.wait(Delivery("its end", "end", {"status": status, "end_time": now_ms}))
            return str(error)
        return ""

    def _images_there(self) -> set[str]:
        """List the images that the run had when it was continued, by key and step; none where nobody can say."""
        if self._known_images is None:
            self._known_images = set()
            with suppress(Exception):  # MLflow, requests and the object stores each raise their own
                found = self._client.list_artifacts(self.run_id, "images")
                self._known_images = {Path(item.path).name.partition("+timestamp+")[0] for item in found}
        return self._known_images

    def _spooled(self, name: str) -> Path:
        """Return a path for a file that waits, in a folder of its own."""
        with self._lock:
            self._num_spooled += 1
            folder = self._spool / str(self._num_spooled)
        folder.mkdir()
        return folder / name

    def _deliver_file(self, path: Path, folder: str = "") -> None:
        self._outbox.add(file_delivery(path.parent, folder))


def _image_name(key: str, step: int) -> str:
    """Return the name by which MLflow's UI knows what an image shows, and of which step it is."""
    return f"{_image_prefix(key, step)}+timestamp+{time.time_ns() // 1_000_000}+{uuid.uuid4()}.png"


def _image_prefix(key: str, step: int) -> str:
    return f"{picture_key(key).replace('/', '~')}+step+{step}"


def metric_entries(metrics: Mapping[str, float], step: int) -> "list[Metric]":
    """Make MLflow's entries, of plain numbers: it hands NumPy's on to JSON and SQL, which take some and not others."""
    from mlflow.entities import Metric

    now_ms = time.time_ns() // 1_000_000
    return [Metric(mlflow_key(name), float(value), now_ms, int(step)) for name, value in metrics.items()]
