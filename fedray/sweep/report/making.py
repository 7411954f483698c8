"""A sweep's report is made: its table of importances, its page, and what of both MLflow gets."""

from collections.abc import Mapping
from shlex import join

import optuna
import pandas as pd

from fedray.data import TileStore
from fedray.randomness import derive_seed
from fedray.results import Place
from fedray.results.files import IMPORTANCE, REPORT
from fedray.storage import parquet_bytes, scratch_folder, write_whole
from fedray.sweep.report.figures import Swept, figures_of
from fedray.sweep.report.importance import COLUMNS, compared, importances
from fedray.sweep.report.page import About, write_page
from fedray.sweep.report.previews import rows_of, shown_trials
from fedray.sweep.results import SweepResult
from fedray.sweep.space import EarlyStopping, SearchSpace
from fedray.terminal import without_folders
from fedray.tracking import TrackedRun, code_versions


def keep_report(
    result: SweepResult, study: optuna.Study, store: TileStore, out: Place, run: TrackedRun | None = None
) -> None:
    """Write ``report.html`` and ``importance.parquet`` into a sweep's folder; log them with its run.

    Args:
        result: Of the sweep.
        study: Its trials, as Optuna has them.
        store: Its tiles.
        out: Where its results are.
        run: Its run in MLflow; None: nothing is logged.

    Raises:
        DamagedError: What a trial has kept is not what was written.
    """
    space = result.space
    seed = derive_seed(space.fixed.seed, "report")
    found = [importances(some, seed) for some in compared(study)]
    importance = pd.concat([rows for rows in found if len(rows)] or [pd.DataFrame(columns=list(COLUMNS))])
    write_whole(out.folder / IMPORTANCE, parquet_bytes(importance, index=False))
    swept = Swept(space, result.trials, study, importance)
    figures, shown = figures_of(swept), shown_trials(result.trials, out)
    about = About(
        store.name, _protocol(space, store), code_versions(), join(["python", "jobs/report_sweep.py", *_place(out)])
    )

    def page_with(real_tiles: bool) -> bytes:
        return write_page(swept, figures, list(rows_of(shown, store, real_tiles)), about).encode()

    write_whole(out.folder / REPORT, page_with(real_tiles=True))
    if run is None:
        return
    run.log_artifact(out.folder / IMPORTANCE)
    with scratch_folder() as scratch:
        (scratch / REPORT).write_bytes(page_with(run.real_tiles))
        run.log_artifact(scratch / REPORT)


def _place(out: Place) -> list[str]:
    return list(without_folders([str(out)]))


def _protocol(space: SearchSpace, store: TileStore) -> Mapping[str, str]:
    config = space.fixed
    return {
        "tiles": f"{store.name}, {store.tile_size} px, fingerprint {store.fingerprint}",
        "goal": "; ".join(f"{goal.metric}, {goal.mode}" for goal in space.goals),
        **({"constraints": "; ".join(space.constraints)} if space.constraints else {}),
        "sampler": space.sampler,
        "rounds of a trial": str(config.federation.num_rounds),
        "seed": str(config.seed) if space.seeds == 1 else f"{config.seed} to {config.seed + space.seeds - 1}",
        "early stopping": _stopping(space.early_stopping),
        **{path: str(dimension) for path, dimension in space.search.items()},
    }


def _stopping(stops: EarlyStopping | None) -> str:
    if stops is None:
        return "none"
    return (
        f"after {stops.grace_rounds} rounds, then {stops.reduction_factor:g} times as many, and so on: the best "
        f"1/{stops.reduction_factor:g} of those seen go on"
    )
