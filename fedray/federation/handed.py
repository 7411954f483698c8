"""Synthetic tiles that a client was handed: they stay in its state, and it trains on them beside its own.

On FedRay's engine they stay where the server put them in the object store: the state refers to them, and no round
writes them again.
"""

import numpy as np
from flwr.app import ArrayRecord, Context

from fedray.config import ExperimentConfig
from fedray.data import LabelledTiles, joined
from fedray.federation.failures import FederationError
from fedray.federation.messages import views_of
from fedray.learning import Arrays
from fedray.simulation import SharedArray

HANDED = "handed"
"""Record on its way to a client and in its state: ``tiles``, ``labels`` and ``domains`` as of
:class:`fedray.data.LabelledTiles`, and the ``round`` before which they were handed out, int64 []."""
TILES, LABELS, DOMAINS, BEFORE = "tiles", "labels", "domains", "round"


def hands_out(config: ExperimentConfig) -> bool:
    """Whether the server hands tiles to clients."""
    return config.federation.mode == "fedssg" and config.classification.allocation != "none"


def handed_before(config: ExperimentConfig, round_index: int) -> int:
    """Return the round before which the tiles of a round were handed out, both 1 for the first."""
    every = config.classification.refresh_every
    return 1 if every is None else round_index - (round_index - 1) % every


def handed_record(handed: LabelledTiles, before: int) -> ArrayRecord:
    """Wrap tiles for a message without a copy: they are not to be written to afterwards."""
    parts: Arrays = {TILES: handed.tiles, LABELS: handed.labels, DOMAINS: handed.domains, BEFORE: np.array(before)}
    record = ArrayRecord()
    for name, array in parts.items():
        record[name] = SharedArray(array)
    return record


def with_handed(config: ExperimentConfig, own: LabelledTiles, context: Context, round_index: int) -> LabelledTiles:
    """Return what a client trains on in a round: its own tiles, and after them those that it was handed.

    Raises:
        FederationError: It does not have those of this round.
    """
    if not hands_out(config):
        return own
    expected, has = handed_before(config, round_index), "none"
    if HANDED in context.state:
        record = context.state.array_records[HANDED]
        before = int(record[BEFORE].numpy())
        if before == expected:
            handed = views_of(record)
            return joined(own, LabelledTiles(*(handed[part] for part in (TILES, LABELS, DOMAINS))))  # type: ignore[arg-type]
        has = f"those of round {before}"
    raise FederationError(
        f"this client trains in round {round_index} beside the synthetic tiles that were handed out before round "
        f"{expected}, but has {has}: it was away then, or lost its state; they are handed out again when the run is "
        "started anew, or by --resume"
    )
