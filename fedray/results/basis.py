"""What results rest on beside the configuration: recorded at the start, and compared before a job goes on."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

import fedray
from fedray.config import ExperimentConfig
from fedray.data import KnownTiles, TileShape, stores_beside
from fedray.evaluation.extractors.base import Extractor
from fedray.tasks import task_of

FOLDER_FORMAT = 5
"""Raise it when a folder's checkpoints, its sweep's state (a pickle of our classes) or what it records of its start are
written in another way."""

Basis = Mapping[str, str]
"""Values by what they are of, in words for people: those below."""

FEDRAY, FORMAT, TILES = "version of FedRay", "format of the folder", "fingerprint of the tile store"
OTHER_TILES = "fingerprint of the other tile store"
"""Of tiles that are trained on beside those of ``data.store``."""
SHOWN = "what the tiles show"
"""Not compared: where it changes, the fingerprint does too. It lets networks be built where the store is not."""
WEIGHTS, EXTRACTOR = "checksum of the ImageNet weights", "checksum of the extractor's weights"
START = "checksum of what it starts from"

REMEDIES = {
    FEDRAY: "go on with that version of FedRay",
    FORMAT: "go on with the FedRay that started it",
    TILES: "put the tile store back as it was",
    OTHER_TILES: "put that store back as it was",
    WEIGHTS: "put the weight file back as it was",
    START: "put that back as it was",
    EXTRACTOR: "set FEDRAY_CACHE to an empty folder: the extractor of the start is kept with the results, and is taken "
    "from there",
}
"""What to do about each of them where it has changed."""


def basis_of(config: ExperimentConfig, store: KnownTiles) -> Basis:
    """Say what a job rests on that is known before anything starts; the extractor is known once it is prepared."""
    weights = task_of(config).weights_file(config)
    checksum = {WEIGHTS: _digest(weights.read_bytes())} if weights else {}
    others = [other.fingerprint for other in stores_beside(config)]
    beside = {OTHER_TILES: ", ".join(others)} if others else {}
    return {**this_fedray(), TILES: store.fingerprint, **beside, SHOWN: _shown(store), **checksum}


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
        if name in REMEDIES and before.get(name, value) != value
    ]


class ShownTiles(NamedTuple):
    """What is known of tiles without their store."""

    fingerprint: str
    """Of the store."""
    size: int
    """Edge in pixels."""
    channels: int
    """Colour channels."""
    label_names: tuple[str, ...]
    """Name of each label code."""
    domain_names: tuple[str, ...]
    """Name of each domain code."""

    @classmethod
    def of(cls, store: KnownTiles) -> "ShownTiles":
        """Return what is known of a store that is here."""
        return cls(store.fingerprint, store.tile_size, store.channels, store.label_names, store.domain_names)

    @property
    def shape(self) -> TileShape:
        """What networks are built for."""
        return TileShape(self.size, self.channels, len(self.label_names), len(self.domain_names))


def shown_tiles(basis: Basis) -> ShownTiles:
    """Return what was recorded of a run's tiles."""
    size, channels, labels, domains = json.loads(basis[SHOWN])
    return ShownTiles(basis[TILES], size, channels, tuple(labels), tuple(domains))


def _shown(store: KnownTiles) -> str:
    return json.dumps([store.tile_size, store.channels, store.label_names, store.domain_names], ensure_ascii=False)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
