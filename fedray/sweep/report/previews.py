"""Pictures of the best, the median and the worst trial of a sweep, as far as something of them was kept."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fedray.data import TileStore
from fedray.randomness import stream
from fedray.reports.pictures import as_png, in_rows
from fedray.results import Place
from fedray.results.files import PROMOTED, PROMOTED_ROUNDS, TUNE_STATE
from fedray.results.pictures import BESIDE_OTHERS, Preview, draw_preview
from fedray.storage import DamagedError
from fedray.sweep.counted import PREVIEW

_LABELS, _TILES, _COLUMNS = 6, 8, 4
"""Labels that are shown, tiles of each, and tiles in a row, at the most."""


@dataclass(frozen=True)
class Shown:
    """A trial of which there is something to look at.

    Attributes:
        rank: In words: best, median or worst.
        trial: Its row in the table.
        preview: Of the round by which it is judged.
    """

    rank: str
    trial: Mapping[Hashable, Any]
    preview: Preview

    @property
    def words(self) -> str:
        """Say which it is."""
        return f"{self.rank}: {self.trial['trial']}, {self.trial['score']:.4g}"


class Picture(NamedTuple):
    """PNG, and what it is of."""

    png: bytes
    words: str


class Row(NamedTuple):
    """Pictures beside each other: of one label, or of all."""

    label: str
    pictures: Sequence[Picture]


def shown_trials(trials: pd.DataFrame, out: Place) -> list[Shown]:
    """Read what was kept of the best, the median and the worst trial that ran all its rounds.

    Args:
        trials: The sweep's table, best first.
        out: Of the sweep.

    Raises:
        DamagedError: What was kept is not what was written.
    """
    complete = trials[trials["outcome"] == "complete"].to_dict("records")
    if not complete:
        return []
    ranks = {len(complete) // 2: "median", len(complete) - 1: "worst", 0: "best"}  # of few, the later word counts
    found = ((ranks[place], complete[place]) for place in sorted(ranks))
    shown = ((rank, trial, _preview(out, trial)) for rank, trial in found)
    return [Shown(rank, trial, preview) for rank, trial, preview in shown if preview is not None]


def rows_of(shown: Sequence[Shown], store: TileStore, real_tiles: bool) -> Iterator[Row]:
    """Draw trials side by side: tiles label by label, beside real ones where these may be seen; answers as they are.

    Args:
        shown: The trials.
        store: Of the real tiles, and of the labels' names.
        real_tiles: Whether real ones may be seen.
    """
    if not shown:
        return
    if shown[0].preview.ndim == 2:
        drawn = (draw_preview(store, each.preview, each.words, BESIDE_OTHERS) for each in shown)
        yield Row("", [Picture(as_png(pixels), each.words) for each, pixels in zip(shown, drawn, strict=True)])
        return
    for label, name in enumerate(store.label_names[:_LABELS]):
        real = _real(store, label)
        beside = [Picture(in_rows(real, _COLUMNS), "real, training")] if real_tiles and len(real) else []
        made = [Picture(in_rows(each.preview[label, :_TILES].astype(np.uint8), _COLUMNS), each.words) for each in shown]
        yield Row(name, [*beside, *made])


def _real(store: TileStore, label: int) -> Any:
    """Draw training tiles of a label, uint8 [n, H, W, C]: the same ones every time."""
    indices = store.indices("train")
    indices = indices[store.labels[indices] == label]
    return store.tiles(np.sort(stream(0, "sweep report", label).permutation(indices)[:_TILES]))


def _preview(out: Place, trial: Mapping[Hashable, Any]) -> Preview | None:
    """Read what a trial's last checkpoint shows, or what it came to after the search; None where nothing is left."""
    name = escape(str(trial["trial"]))
    went_on = trial.get(PROMOTED_ROUNDS, 0) > 0
    pattern = f"{PROMOTED}/{name}/{PREVIEW}" if went_on else f"{TUNE_STATE}/{name}/checkpoint_*/{PREVIEW}"
    if out.shared is None:
        names = [path.relative_to(out.folder).as_posix() for path in out.folder.glob(pattern)]
    else:
        names = [name for name in out.shared.names() if fnmatchcase(name, pattern)]
    if not names:
        return None
    newest = max(names)
    content = (out.folder / newest).read_bytes() if out.shared is None else out.shared.read(newest) or b""
    try:
        preview: Preview = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DamagedError.of(f"{out}/{newest}", str(error)) from None
    return preview
