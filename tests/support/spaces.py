"""A small sweep that finishes in seconds a trial."""

from pathlib import Path
from typing import Any

from fedray.config import nest, save_config
from fedray.sweep import SearchSpace
from tests.support.small import SMALL

METRIC = "fid/efficientnet-lite0/16"
EXPLODING = 1e15
"""A learning rate with which no run survives its first round."""


def small_space(store: Any, num_rounds: int = 3, **changes: Any) -> SearchSpace:
    """Return a space over the small experiment; its first start point diverges, its second one works."""
    fixed = SMALL | {
        "data.store": str(store.path),
        "federation.num_rounds": num_rounds,
        "resources.num_workers": 2,
    }
    start = {"gan.n_critic": 2, "gan.generator_lr": 1e-3}
    return SearchSpace.model_validate(
        {
            "name": "small",
            "fixed": nest(fixed),
            "search": {
                "gan.n_critic": {"type": "int", "low": 1, "high": 3},
                "gan.generator_lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
                "gan.discriminator_lr": {"type": "choice", "values": [1e-3, EXPLODING]},
            },
            "goal": {"metric": METRIC},
            "num_trials": 5,
            "max_concurrent": 4,
            "early_stopping": {"grace_rounds": 1, "reduction_factor": 2},
            "start_points": [start | {"gan.discriminator_lr": EXPLODING}, start | {"gan.discriminator_lr": 1e-3}],
        }
        | changes
    )


def write_trials(store: Any, path: Path, *, num_trials: int, num_rounds: int, max_concurrent: int = 4) -> None:
    """Write a space of trials of one worker each, all of which run all their rounds."""
    good = {"gan.generator_lr": 1e-3, "gan.discriminator_lr": 1e-3}
    space = small_space(
        store,
        num_rounds=num_rounds,
        num_trials=num_trials,
        max_concurrent=max_concurrent,
        early_stopping={"grace_rounds": num_rounds},
        start_points=[good | {"gan.n_critic": 1 + number % 3} for number in range(num_trials)],
    )
    one_worker = space.fixed.resources.model_copy(update={"num_workers": 1})
    save_config(space.with_changes(space.fixed.model_copy(update={"resources": one_worker}), {}), path)
