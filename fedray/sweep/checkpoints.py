"""Checkpoints of trials that will never go on: they hold the optimisers of every client, and would fill the disk."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyarrow.fs import FileInfo, FileSelector
from ray import tune
from ray.tune.experiment import Trial

from fedray.experiment.thinning import keeps_networks
from fedray.federation import SERVER_FILES
from fedray.results.files import BEST_ROUND, NEWEST_ROUND
from fedray.sweep.searcher import COMPLETED
from fedray.sweep.space import SearchSpace


class DropCheckpoints(tune.Callback):
    """Deletes a trial's checkpoints as soon as it was stopped early or has failed.

    On shared storage they go when the sweep ends (:func:`drop_checkpoints`): what Tune saves arrives there later, in
    the background, and until then a resume would look for them.
    """

    def __init__(self) -> None:
        """Begin with no trial."""
        self._looked_at: set[str] = set()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look for trials that have ended since. Tune has saved by now that they have."""
        for trial in trials:
            if trial.is_finished() and trial.trial_id not in self._looked_at:
                self._looked_at.add(trial.trial_id)
                files = trial.storage.storage_filesystem
                if files.type_name == "local" and not _completed(trial.last_result):
                    _delete(files, trial.storage.trial_fs_path)


def drop_checkpoints(grid: tune.ResultGrid, space: SearchSpace) -> None:
    """Delete of the checkpoints of a sweep that has ended what nobody reads again.

    Those of trials that did not run all their rounds go. Of the others stays the round that counts: whole where trials
    may be promoted, if the sweep is extended, or where clients have networks of their own; else what the server had.
    """
    for result in grid:
        if not _completed(result.metrics):
            _delete(result.filesystem, result.path)
        elif result.checkpoint is not None:
            config = space.trial_config(result.config or {})
            may_go_on = space.promote is not None or keeps_networks(config)
            keep_what_counts(result.checkpoint.filesystem, result.checkpoint.path, whole=may_go_on)


def keep_what_counts(files: Any, checkpoint: str, *, whole: bool) -> None:
    """Leave of a trial's checkpoint the round that counts.

    Args:
        files: Its file system, of pyarrow.
        checkpoint: Its folder there.
        whole: With all that it takes to go on; else with what the server had.
    """
    inside = files.get_file_info(FileSelector(checkpoint, allow_not_found=True))
    if BEST_ROUND in {found.base_name for found in inside}:
        _delete_all(files, [found for found in inside if found.base_name == NEWEST_ROUND])
    if not whole:
        below = files.get_file_info(FileSelector(checkpoint, allow_not_found=True, recursive=True))
        arrays = [found for found in below if found.base_name.endswith(".safetensors")]
        _delete_all(files, [found for found in arrays if found.base_name not in SERVER_FILES])


@contextmanager
def last_checkpoint(grid: tune.ResultGrid, trial_id: str) -> Iterator[Path]:
    """Open the last checkpoint of a trial that ran all its rounds."""
    for trial in grid:
        if trial.metrics and trial.metrics["trial_id"] == trial_id and trial.checkpoint:
            with trial.checkpoint.as_directory() as folder:
                yield Path(folder)
            return
    raise AssertionError(f"a complete trial has a checkpoint, but {trial_id} has none")


def _completed(result: dict[str, Any] | None) -> bool:
    return bool((result or {}).get(COMPLETED))


def _delete(files: Any, folder: str) -> None:
    found = files.get_file_info(FileSelector(folder, allow_not_found=True))
    _delete_all(files, [info for info in found if info.base_name.startswith("checkpoint_")])


def _delete_all(files: Any, found: Iterable[FileInfo]) -> None:
    for info in found:
        with suppress(OSError):  # a worker that is just ending may remove files itself
            files.delete_file(info.path) if info.is_file else files.delete_dir(info.path)
