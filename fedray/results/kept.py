"""What a place keeps of networks: an experiment's last ones, and of each trial of a sweep those that are scored."""

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

import pandas as pd

from fedray.errors import UserError
from fedray.evaluation import Scores, interval_names, mode_of
from fedray.federation import SERVER_FILES, load_server
from fedray.learning import Arrays
from fedray.results.files import (
    BEST_ROUND,
    CHECKPOINT,
    FLOOR,
    PARAMS,
    PROMOTED,
    PROMOTED_ROUNDS,
    SCORED_ROUND,
    TUNE_STATE,
)
from fedray.results.place import Place

_WHOLE_ROUND = "round-[0-9]*[0-9]"  # no half-written one, which ends in .tmp


class ResultsError(UserError, ValueError):
    """Results cannot be opened again. The message says of which place, what is wrong there, and the remedy."""


def last_arrays(out: Place, below: str) -> tuple[Arrays, int]:
    """Read what the server had of the newest whole checkpoint below a folder of a place, and its round.

    Raises:
        ResultsError: There is none.
    """
    return _arrays(out, max(_checkpoints(out, below)))


def trial_arrays(out: Place, trial: "pd.Series[Any]") -> tuple[Arrays, int]:
    """Read what the server had after the round by which a trial of a sweep is judged, and that round.

    Args:
        out: Of the sweep.
        trial: Its row of the table.

    Raises:
        ResultsError: As of :func:`last_arrays`.
    """
    name = escape(str(trial["trial"]))
    went_on = trial.get(PROMOTED_ROUNDS, 0) > 0
    below = f"{PROMOTED}/{name}/{CHECKPOINT}" if went_on else f"{TUNE_STATE}/{name}/checkpoint_*"
    found = _checkpoints(out, f"{below}/*")

    def order(folder: str) -> tuple[str, bool, str]:
        checkpoint, kind, _ = folder.rsplit("/", 2)
        return checkpoint, kind == BEST_ROUND, folder

    return _arrays(out, max(found, key=order))


def trial_values(trial: "pd.Series[Any]", searched: Iterable[str], rounds: int) -> dict[str, Any]:
    """Return what a trial's configuration has in the place of what a sweep fixes.

    Args:
        trial: Its row of the table.
        searched: Config paths.
        rounds: That lead to its arrays; a table of before rounds were scored one by one knows those of the last, and
            one of before there were conditions has the values in columns of their own alone.
    """
    values = json.loads(trial[PARAMS]) if PARAMS in trial else {path: _plain(trial[path]) for path in searched}
    return values | ({"federation.num_rounds": rounds} if SCORED_ROUND in trial else {})


def scores_of(trial: "pd.Series[Any]") -> tuple[Scores, Scores]:
    """Read a trial's scores and the floor out of its row in a sweep's table."""
    row = {str(name): value for name, value in trial.items()}
    names = [name for name in row if mode_of(name) is not None]
    names += [end for name in names for end in interval_names(name) if end in row]
    floor = {name.removeprefix(FLOOR): float(value) for name, value in row.items() if name.startswith(FLOOR)}
    return {name: float(row[name]) for name in row if name in names}, floor


def _checkpoints(out: Place, below: str) -> list[str]:
    """List the whole checkpoints below a folder of a place, by their paths in it; at least one."""
    pattern = f"{below}/{_WHOLE_ROUND}/state.json"
    if out.shared is None:
        found = [path.relative_to(out.folder).as_posix() for path in out.folder.glob(pattern)]
    else:
        found = [name for name in out.shared.names() if fnmatchcase(name, pattern)]
    if not found:
        raise ResultsError(
            f"{out} is finished, but its checkpoint is gone ({pattern}), and with it the arrays; bring it back from a "
            "copy, or run it again"
        )
    return [name.rpartition("/")[0] for name in found]


def _arrays(out: Place, checkpoint: str) -> tuple[Arrays, int]:
    if out.shared is not None:
        out.shared.download([f"{checkpoint}/{name}" for name in SERVER_FILES], out.folder)
    return load_server(out.folder / checkpoint)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
