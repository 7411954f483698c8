"""Tiles of a finished run's generator, as many of each label and domain as are wanted, with their origin."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import fedray
from fedray.config import nearest_name
from fedray.data import StoreError, Tile, TileStore, write_store
from fedray.data.writing import partial_directory
from fedray.errors import UserError
from fedray.evaluation import is_of_all_tiles
from fedray.randomness import torch_stream
from fedray.results.basis import ShownTiles
from fedray.results.finished import Finished
from fedray.tasks import Sampler
from fedray.terminal import without_folders

ORIGIN_FILE = "origin.json"
"""Beside pictures, what made them."""

_AT_A_TIME = 256

Images = np.ndarray[Any, np.dtype[np.uint8]]
"""uint8 [n, H, W, C]."""

OnProgress = Callable[[int, int], None]
"""Called with how many tiles are made, and of how many."""


class WantedError(UserError, ValueError):
    """Tiles that cannot be asked for. The message says which, and what can."""


class Cell(NamedTuple):
    """Tiles of one label and domain."""

    label: int
    domain: int
    num: int
    """At least 1."""


def cells_wanted(counts: Sequence[str], tiles: ShownTiles) -> list[Cell]:
    """Read how many tiles are wanted of what.

    Args:
        counts: ``1000`` is so many of each label, ``gland=1000`` of one, ``gland/siteA=1000`` of one in one domain;
            what is said of a label without a domain is spread evenly over the domains. Later ones replace earlier
            ones of the same cell.
        tiles: What the generator learned from: names of labels and domains.

    Raises:
        WantedError: A number is none, or a name is not one of the generator's.
    """
    wanted: dict[tuple[int, int], int] = {}
    num_domains = len(tiles.domain_names)
    for entry in counts:
        what, equals, number = entry.rpartition("=")
        count = _number(number, entry)
        labels, domain = _named(what, entry, tiles) if equals else ([*range(len(tiles.label_names))], None)
        for label in labels:
            if domain is not None:
                wanted[label, domain] = count
                continue
            for place in range(num_domains):  # the first domains have one more where it does not divide
                wanted[label, place] = count // num_domains + (place < count % num_domains)
    cells = [Cell(label, domain, count) for (label, domain), count in sorted(wanted.items()) if count]
    if not cells:
        raise WantedError("no tile is wanted; give --counts a number, of all labels or of some (gland=1000)")
    return cells


def generated(
    finished: Finished,
    cells: Sequence[Cell],
    seed: int,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
    begun: Mapping[Cell, Images] | None = None,
) -> Iterator[Tile]:
    """Make tiles, cell after cell, in bounded memory; the same arguments on the same device make the same tiles.

    Args:
        finished: Has the generator.
        cells: What is wanted.
        seed: Of the noise.
        device: Where the network computes.
        on_progress: Is told of every batch.
        begun: First batches of some cells, made already (:func:`batches`).

    Yields:
        Tiles of the training split, each a group of its own.

    Raises:
        ResultsError: The run has no generator.
        DivergedError: A tile is not finite.
    """
    sampler = finished.sampler(device)
    total, done = sum(cell.num for cell in cells), 0
    for cell in cells:
        for start, images in batches(sampler, cell, seed, (begun or {}).get(cell)):
            for place, image in enumerate(images, start):
                name = f"{cell.label}-{cell.domain}-{place:06d}"
                yield Tile(image, cell.label, cell.domain, group=name, split="train", source=f"synthetic {name}")
            done += len(images)
            if on_progress is not None:
                on_progress(done, total)


def batches(sampler: Sampler, cell: Cell, seed: int, first: Images | None = None) -> Iterator[tuple[int, Images]]:
    """Make the tiles of a cell, some at a time.

    Args:
        sampler: Makes them.
        cell: Which, and how many.
        seed: Of the noise.
        first: The first batch, if it is made already.

    Yields:
        Place of the first of them, and the tiles, uint8 [n, H, W, C].
    """
    for start in range(0, cell.num, _AT_A_TIME):
        num = min(_AT_A_TIME, cell.num - start)
        yield start, first if start == 0 and first is not None else batch(sampler, cell, start, num, seed)


def batch(sampler: Sampler, cell: Cell, start: int, num: int, seed: int) -> Images:
    """Make so many tiles of a cell, uint8 [num, H, W, C]; their place addresses the noise."""
    random = torch_stream(seed, "generated", cell.label, cell.domain, start)
    return sampler.sample(np.full(num, cell.label), random, np.full(num, cell.domain))


def origin_of(finished: Finished, cells: Sequence[Cell], seed: int) -> Mapping[str, Any]:
    """Say what made the tiles: all that is needed to make them again, and how good they were said to be.

    Synthetic tiles are made to be given away, so paths are without this machine's folders.
    """
    names, domains = finished.tiles.label_names, finished.tiles.domain_names
    return {
        "made-by": f"FedRay {fedray.__version__}",
        "results": without_folders(finished.place),
        "run-id": finished.run_id,
        "task": finished.config.task,
        "config": without_folders(finished.config.model_dump(mode="json")),
        "rounds": finished.rounds,
        "seed": seed,
        "counts": {f"{names[cell.label]}/{domains[cell.domain]}": cell.num for cell in cells},
        "learned-from": finished.tiles.fingerprint,
        "scores": {name: value for name, value in finished.scores.items() if is_of_all_tiles(name)},
    }


def write_synthetic_store(
    path: Path, tiles: Iterator[Tile], like: ShownTiles, origin: Mapping[str, Any], *, overwrite: bool = False
) -> TileStore:
    """Write tiles as a store with the labels and domains of what they were learned from, and their origin inside.

    Raises:
        StoreError: As of :func:`fedray.data.write_store`.
    """
    return write_store(
        path,
        tiles,
        label_names=like.label_names,
        domain_names=like.domain_names,
        source=f"synthetic: {origin['task']}, run {origin['run-id']} of {origin['results']}",
        group_kind="region",
        origin=origin,
        overwrite=overwrite,
    )


def write_pictures(folder: Path, tiles: Iterator[Tile], like: ShownTiles, origin: Mapping[str, Any]) -> int:
    """Write tiles as PNG, a folder a label, and ``origin.json`` beside them; all of it or nothing.

    Returns:
        Number of pictures.

    Raises:
        StoreError: The folder exists already, or a label's name cannot be a folder's.
    """
    if folder.exists():
        raise StoreError(f"the output {folder} exists already; choose another path")
    for name in like.label_names:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise StoreError(f"the label {name!r} cannot be the name of a folder; make a tile store, without --png")
    written = 0
    with partial_directory(folder) as partial:
        for tile in tiles:
            below = partial / like.label_names[tile.label]
            below.mkdir(exist_ok=True)
            Image.fromarray(tile.image).save(below / f"{tile.group}.png")
            written += 1
        (partial / ORIGIN_FILE).write_text(json.dumps(origin, indent=1), encoding="utf-8")
        partial.rename(folder)
    return written


def _number(text: str, entry: str) -> int:
    if not text.isdecimal():
        raise WantedError(f"--counts takes numbers, 1000 or LABEL=1000 or LABEL/DOMAIN=1000, but got {entry!r}")
    return int(text)


def _named(what: str, entry: str, tiles: ShownTiles) -> tuple[list[int], int | None]:
    """Read a label, or a label and a domain; a label may have a slash in its own name."""
    if what in tiles.label_names:
        return [tiles.label_names.index(what)], None
    label, slash, domain = what.rpartition("/")
    if slash and label in tiles.label_names:
        if domain not in tiles.domain_names:
            raise WantedError(_unknown("domain", domain, entry, tiles.domain_names))
        return [tiles.label_names.index(label)], tiles.domain_names.index(domain)
    raise WantedError(_unknown("label", label or what, entry, tiles.label_names))


def _unknown(kind: str, name: str, entry: str, names: Sequence[str]) -> str:
    known = ", ".join(map(repr, names))
    return f"the run knows no {kind} {name!r} (--counts {entry}), but {known}{nearest_name(name, names)}"
