"""Checkpoints of trials that will never go on: they hold the optimisers of every client, and would fill the disk."""

from contextlib import suppress
from typing import Any

from pyarrow.fs import FileSelector
from ray import tune
from ray.tune.experiment import Trial

from fedray.sweep.searcher import COMPLETED


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


def drop_checkpoints(grid: tune.ResultGrid) -> None:
    """Delete the checkpoints of all trials of a sweep that has ended, but those that ran all their rounds."""
    for result in grid:
        if not _completed(result.metrics):
            _delete(result.filesystem, result.path)


def _completed(result: dict[str, Any] | None) -> bool:
    return bool((result or {}).get(COMPLETED))


def _delete(files: Any, folder: str) -> None:
    for found in files.get_file_info(FileSelector(folder, allow_not_found=True)):
        if found.base_name.startswith("checkpoint_"):
            with suppress(OSError):  # a worker that is just ending may remove files itself
                files.delete_dir(found.path)
