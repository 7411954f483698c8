"""What a user should know of an experiment before it starts, though nothing is wrong with it."""

from fedray.config import ExperimentConfig
from fedray.data import WHY_UNUSED, TileStore, client_partition, synthetic_store, training_sizes
from fedray.experiment.engines.base import EPSILON
from fedray.results.start import Start
from fedray.tasks import task_of


def notes(config: ExperimentConfig, store: TileStore, start: Start | None = None) -> list[str]:
    """Say what the configuration does that its values do not show, a sentence each.

    Args:
        config: With all that was unset filled in.
        store: Its tiles.
        start: What it starts from; None where its networks are drawn.
    """
    return [
        *_unused(config, store),
        *(_synthetic(config, store) if config.family.other_stores else ()),
        *(_started(config, store, start) if start else ()),
    ]


def _unused(config: ExperimentConfig, store: TileStore) -> list[str]:
    partition, num_train = client_partition(config), len(store.indices("train"))
    if not partition.unused:
        return []
    return [
        f"partition {partition.scheme!r} leaves {partition.unused} of {num_train} training tiles unused: "
        f"{WHY_UNUSED[partition.scheme]}"
    ]


def _synthetic(config: ExperimentConfig, store: TileStore) -> list[str]:
    """Say how many tiles of either kind are trained on, and what is not known of those that somebody made."""
    num_real, num_all = (int(sizes.sum()) for sizes in (client_partition(config).sizes(), training_sizes(config)))
    synthetic = synthetic_store(config)
    kinds = f"{num_all} synthetic tiles alone"
    if config.classification.tiles == "both":
        kinds = f"{num_real} real and {num_all - num_real} synthetic tiles"
    told = [f"trains on {kinds}, and is tested on real ones"]
    allocation = config.classification.allocation
    if config.federation.mode == "fedssg" and allocation != "none" and num_all == num_real:
        told.append(
            f"classification.allocation {allocation!r} hands out no tile: no client lacks a label and a domain by its "
            "rule of which classification.synthetic has tiles"
        )
    learned_from = synthetic.origin.get("learned-from")
    if learned_from != store.fingerprint:
        said = "does not say what they were learned from" if learned_from is None else "learned from another store"
        told.append(
            f"what made the synthetic tiles in {synthetic.path} {said}: it may have seen the tiles that this is tested "
            "on, and a score would flatter"
        )
    return told


def _started(config: ExperimentConfig, store: TileStore, start: Start) -> list[str]:
    """Say what is taken of a start, what it may have seen, and whose privacy no account here counts."""
    task, run = task_of(config), start.run
    trained = "" if run is None else f", trained for {run.rounds} round(s)"
    told = [f"starts from the {', '.join(task.shared(config))} of {start.place}{trained}; its optimisers are not taken"]
    if drawn := task.private(config):
        told.append(f"{', '.join(drawn)} of each client does not travel, and begins as drawn")
    if run is None or run.tiles.fingerprint != store.fingerprint:
        said = "it does not say what it learned from" if run is None else "it learned from another store"
        told.append(f"{said}: it may have seen the tiles that this is tested on, and a score would flatter")
    if config.privacy.on:
        told.append(_privacy_before(start))
    return told


def _privacy_before(start: Start) -> str:
    alone = "privacy/epsilon counts this run alone"
    if start.run is None or not start.run.config.privacy.on:
        return f"{alone}: whoever was learned from before has no guarantee from it"
    history, delta = start.run.history, start.run.config.privacy.delta
    spent = f"{history[EPSILON].iloc[-1]:.3g} at delta {delta:g}" if EPSILON in history else "its own"
    return f"{alone}: {start.place} has spent {spent} before, to be added for clients of both"
