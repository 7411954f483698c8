"""Who is handed what: the cases, and the stores of their tiles."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedray.config import ExperimentConfig, override
from fedray.data import Census, Tile, TileShape, write_store

SIZE = 64
NUM_WORKERS = 2
OBJECT_STORE_BYTES = 4 * 10**9
LABELS = ("frequent", "rare")
SHAPE = TileShape(SIZE, 3, len(LABELS))
TILE_BYTES = SIZE**2 * 3 + 16
"""Of a tile with its label and its domain."""


@dataclass(frozen=True)
class Case:
    """How many tiles go to how many clients.

    Attributes:
        num_clients: How many there are.
        num_handed: Tiles that each is handed.
        num_made: Tiles of the server's store.
        what: That is, in words.
    """

    num_clients: int
    num_handed: int
    num_made: int
    what: str


CASES: Mapping[str, Case] = {
    "same": Case(100, 1000, 1000, "the same 1,000 tiles to each of 100 clients"),
    # A prime number, so that no two clients get the same selection.
    "own": Case(100, 1000, 10_007, "1,000 tiles of its own to each of 100 clients"),
    "shared out": Case(100, 10, 1000, "1,000 tiles in all, 10 to each of 100 clients"),
}
BESIDE = Case(6, 1000, 10_007, "1,000 tiles to each of 6 clients, which train beside 200 of their own")
NUM_OWN, NUM_STEPS = 200, 20
"""Tiles of its own that a client of :data:`BESIDE` has, and its optimiser steps in a round."""


def make_stores(folder: Path) -> None:
    """Write the stores of all cases into a folder: tiles of noise, which pack and travel as any others do."""
    for num in {case.num_made for case in (*CASES.values(), BESIDE)}:
        write_store(_made(folder, num), _tiles(num, label=1), label_names=LABELS)
    write_store(folder / "real", _tiles(NUM_OWN * BESIDE.num_clients, label=None), label_names=LABELS)


def _tiles(num: int, label: int | None) -> Iterator[Tile]:
    random = np.random.default_rng(num)
    for number in range(num):
        pixels = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        shown = number % len(LABELS) if label is None else label
        yield Tile(pixels, label=shown, domain=0, group=f"g{number}", split="train", source=f"noise {number}")


def config_of(folder: Path, case: Case, **changes: object) -> ExperimentConfig:
    """Return the experiment in which a case's tiles are handed out; ``changes`` name paths with ``__`` for dots."""
    values = {
        "task": "classification",
        "data.store": str(folder / "real"),
        "federation.mode": "fedssg",
        "federation.num_clients": case.num_clients,
        "federation.num_rounds": 100,
        "federation.local_steps": NUM_STEPS,
        "classification.tiles": "both",
        "classification.synthetic": str(_made(folder, case.num_made)),
        "resources.device": "cpu",
    }
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return override(ExperimentConfig(), values | given, "the benchmark")


def census_of_case(case: Case) -> Census:
    """Return what the server knows of a case's clients."""
    return Census(SHAPE, LABELS, ("default",), (case.num_handed,) * case.num_clients)


def counts_of_case(case: Case) -> np.ndarray:
    """Return what the clients tell: of one label they have as many tiles more as they are to be handed of the other.

    Returns:
        int64 [client, label, domain].
    """
    counts = np.zeros((case.num_clients, len(LABELS), 1), np.int64)
    counts[:, 0], counts[:, 1] = case.num_handed + 1, 1  # none at all would be refused: nobody could have learned it
    return counts


def _made(folder: Path, num: int) -> Path:
    return folder / f"made-{num}"
