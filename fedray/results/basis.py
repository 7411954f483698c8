"""What results rest on beside the configuration: recorded at the start, and compared before a job goes on."""

import hashlib
from collections.abc import Mapping

import fedray
from fedray.config import ExperimentConfig
from fedray.data import TileStore
from fedray.evaluation.extractors.base import Extractor
from fedray.tasks import task_of

FOLDER_FORMAT = 4
"""Raise it when a folder's checkpoints or its sweep's state are written in another way."""

Basis = Mapping[str, str]
"""Values by what they are of, in words for people: those below."""

FEDRAY, FORMAT, TILES = "version of FedRay", "format of the folder", "fingerprint of the tile store"
WEIGHTS, EXTRACTOR = "checksum of the ImageNet weights", "checksum of the extractor's weights"

REMEDIES = {
    FEDRAY: "go on with that version of FedRay",
    FORMAT: "go on with the FedRay that started it",
    TILES: "put the tile store back as it was",
    WEIGHTS: "put the weight file back as it was",
    EXTRACTOR: "set FEDRAY_CACHE to an empty folder: the extractor of the start is kept with the results, and is taken "
    "from there",
}
"""What to do about each of them where it has changed."""


def basis_of(config: ExperimentConfig, store: TileStore) -> Basis:
    """Say what a job rests on that is known before anything starts; the extractor is known once it is prepared."""
    weights = task_of(config).weights_file(config)
    checksum = {WEIGHTS: _digest(weights.read_bytes())} if weights else {}
    return {**this_fedray(), TILES: store.fingerprint, **checksum}


def judged_by(extractor: Extractor | None) -> Basis:
    """Say what judges, once it is prepared; nothing where no extractor does."""
    return {} if extractor is None else {EXTRACTOR: extractor.identity}


def this_fedray() -> Basis:
    """Say which FedRay is running."""
    return {FEDRAY: fedray.__version__, FORMAT: str(FOLDER_FORMAT)}


def changes(before: Basis, now: Basis) -> list[str]:
    """Say of each thing that both know, and that is not as it was, both values and the remedy."""
    return [
        f"the {name} was {before[name]}, and is {value} now; {REMEDIES[name]}"
        for name, value in now.items()
        if before.get(name, value) != value
    ]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
