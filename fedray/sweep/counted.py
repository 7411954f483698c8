"""The round that counts: what a trial is judged by, its best evaluated round or its last, with that round's weights."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from fedray.evaluation import Scores
from fedray.experiment import Evaluation, Run
from fedray.federation import latest_round, load_checkpoint
from fedray.results.files import BEST_ROUND, NEWEST_ROUND
from fedray.results.pictures import Preview
from fedray.storage import sealed, unsealed, whole_folder, write_whole
from fedray.sweep.space import SearchSpace

PREVIEW = "preview.npy"
"""File of a checkpoint: what there is to look at of the round that counts."""

_RECORD = "counted.json"


@dataclass(frozen=True, eq=False)
class Counted:
    """A round by which a trial is judged."""

    round_index: int
    scores: Scores
    """All of its evaluation."""
    preview: Preview
    """What there is of it to look at."""


class CountedRound:
    """Finds the round of a trial that counts, and keeps it in the trial's checkpoints.

    Attributes:
        found: That round; None until one has a score.
    """

    def __init__(self, space: SearchSpace, folder: Path) -> None:
        """Begin a trial.

        Args:
            space: Says whether its best round counts, or its last, and by which score.
            folder: For the weights of the best round, until the trial ends; nobody else writes there.
        """
        self._space, self._keeps_best, self._folder = space, space.score == "best", folder / BEST_ROUND
        self.found: Counted | None = None

    def see(self, run: Run, evaluation: Evaluation) -> Scores:
        """Look at a round that was just evaluated; where it counts, it is kept with its weights.

        Returns:
            The scores by which the trial is judged after it: of the round that counts until now. A round of which a
            goal or a bounded score is no number has its own, which ends the trial.
        """
        place = place_of(self._space, evaluation.scores)
        if not all(map(math.isfinite, place)):
            return evaluation.scores
        if self.found is None or not self._keeps_best or place < place_of(self._space, self.found.scores):
            self.found = Counted(run.state.round_index, evaluation.scores, evaluation.preview)
            if self._keeps_best:
                run.save(self._folder)
        return self.found.scores

    def return_to(self, run: Run) -> None:
        """Have a run stand at its best round again, where that counts; one whose last round counts stays there."""
        if self.found is not None and self._keeps_best and self.found.round_index != run.state.round_index:
            run.load(self._folder)

    def save(self, run: Run, folder: Path) -> None:
        """Write a trial's checkpoint: the federation as it is now, and the round that counts."""
        found = self.found
        if found is not None and self._keeps_best and found.round_index == run.state.round_index:
            _copy(self._folder, folder / NEWEST_ROUND)  # it was written a moment ago
        else:
            run.save(folder / NEWEST_ROUND)
            if found is not None and self._keeps_best:
                _copy(self._folder, folder / BEST_ROUND)
        if found is not None:
            write_preview(folder, found.preview)
            write_whole(folder / _RECORD, sealed({"round": found.round_index, "scores": found.scores}))

    def load(self, folder: Path) -> None:
        """Go on as of a checkpoint.

        Raises:
            ValueError: It is half of one: its best round is not there, or damaged.
        """
        self.found = load_counted(folder)
        if self.found is None or not self._keeps_best:
            return
        rounds = counted_folder(folder)
        newest = latest_round(rounds)
        if newest is None or load_checkpoint(newest).state.round_index != self.found.round_index:
            raise ValueError(f"{folder} lacks the weights of round {self.found.round_index}, its best one")
        _copy(rounds, self._folder)


def place_of(space: SearchSpace, scores: Mapping[str, float]) -> tuple[float, ...]:
    """Return numbers by which rounds stand, the best least: how far constraints are broken, then the goals in turn."""
    broken = [bound.excess(scores) for bound in space.bounds]
    signed = [(1 if goal.mode == "min" else -1) * scores.get(goal.metric, math.nan) for goal in space.goals]
    return (sum(max(0.0, excess) if math.isfinite(excess) else math.nan for excess in broken), *signed)


def load_counted(folder: Path) -> Counted | None:
    """Read from a trial's checkpoint which round counts; None where none had a score."""
    path = folder / _RECORD
    if not path.exists():
        return None
    record = unsealed(path.read_bytes(), path)
    return Counted(record["round"], record["scores"], read_preview(folder))


def counted_folder(folder: Path) -> Path:
    """Return where a trial's checkpoint has the weights of the round that counts."""
    best = folder / BEST_ROUND
    return best if best.is_dir() else folder / NEWEST_ROUND


def _copy(rounds: Path, target: Path) -> None:
    """Have a folder of checkpoints hold what another one does, and nothing else."""
    with whole_folder(target) as partial:
        shutil.copytree(rounds, partial, dirs_exist_ok=True)


def write_preview(folder: Path, preview: Preview) -> None:
    """Keep in a folder what there is of a round to look at."""
    content = BytesIO()
    np.save(content, preview)
    write_whole(folder / PREVIEW, content.getvalue())


def read_preview(folder: Path) -> Preview:
    """Read what :func:`write_preview` wrote."""
    preview: Preview = np.load(folder / PREVIEW)
    return preview
