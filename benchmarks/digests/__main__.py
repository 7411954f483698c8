"""Measures what checks at a job's start, at reading and at an import take: ``python -m benchmarks.digests``."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.digests.start import Clock
from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY, run_fresh
from benchmarks.tables import format_seconds, markdown_table, replace_section
from fedray.data import ImportOptions, Tile, TileStore, import_folder, upload_store, write_store
from fedray.data import pseudonyms as naming
from fedray.data.decoding.dicom import PATIENT_KEY_VARIABLE
from fedray.data.shared import CHECKED_BYTES

_README = REPOSITORY / "benchmarks" / "README.md"
_MAX_SHARE = 0.05
_TIMEOUT_S = 900.0
_TILE = 64
_NUM_FILES = 2000
_HEADER = ("what", "with digests or hashes", "of that", "share", "target", "met")

Row = tuple[str, ...]


def main() -> None:
    """Measure, print a table, and with --readme put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--readme", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    os.environ[PATIENT_KEY_VARIABLE] = "of this benchmark alone, and long enough"
    busy = busy_warning()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = _large_store(folder)
        rows = [
            _start("a job on `colon`, its store and extractor cached", "colon", folder, options.repeats),
            _start(
                f"a job on a fetched store of {CHECKED_BYTES >> 20} MB, the largest that is compared whole",
                f"file://{folder}/bucket",
                folder,
                options.repeats,
            ),
            _reading(store, options.repeats),
            _importing(folder, options.repeats),
        ]
    told = [markdown_table(_HEADER, rows), "", machine_sentence(describe_machine(["ray", "torch", "pyarrow"]))]
    told += ["", busy] if busy else []
    print("\n".join(told))
    if options.readme:
        replace_section(_README, "digests", "\n".join(told))


def _large_store(folder: Path) -> TileStore:
    """Write a store of noise just as large as those that are compared whole, and upload it to a folder."""
    random = np.random.default_rng(0)
    num = int(0.99 * CHECKED_BYTES) // (_TILE * _TILE * 3)

    def tiles() -> Iterator[Tile]:
        for index in range(num):
            pixels = random.integers(0, 256, (_TILE, _TILE, 3), dtype=np.uint8)
            split = "test" if index % 4 == 3 else "train"
            yield Tile(pixels, label=index % 2, domain=0, group=f"g{index // 8}", split=split, source=f"{index}.png")

    store = write_store(folder / "store", tiles(), label_names=["a", "b"])
    upload_store(store, f"file://{folder}/bucket")
    return store


def _start(what: str, store: str, folder: Path, repeats: int) -> Row:
    """Start a job several times; the first fills the caches and does not count."""
    found = []
    for _ in range(repeats + 1):
        command = [sys.executable, "-m", "benchmarks.digests.start", store, str(folder), repr(time.time())]
        run_fresh(command, folder / "log", _TIMEOUT_S)
        found.append(json.loads((folder / "start.json").read_text()))
    seconds, digests = (median(each[name] for each in found[1:]) for name in ("seconds", "digests"))
    share = median(each["digests"] / each["seconds"] for each in found[1:])
    met = "yes" if share <= _MAX_SHARE else "no"
    return (
        f"start of {what}",
        format_seconds(seconds),
        format_seconds(digests),
        f"{share:.1%}",
        f"<= {_MAX_SHARE:.0%}",
        met,
    )


def _reading(store: TileStore, repeats: int) -> Row:
    """Read all tiles of a store in batches of 32 in random order: the first time, in which blocks are compared."""
    order = np.random.default_rng(1).permutation(len(store))
    first, clocks = [], []
    for _ in range(repeats + 1):
        opened, clock = TileStore.open(store.path), Clock()
        assert opened._check is not None, "a store that was written now has digests"
        opened._check.damaged = clock.timed(opened._check.damaged)  # type: ignore[method-assign]
        began = time.perf_counter()
        for start in range(0, len(order), 32):
            opened.tiles(order[start : start + 32])
        first.append(time.perf_counter() - began)
        clocks.append(clock.seconds)
    shares = [part / whole for part, whole in zip(clocks[1:], first[1:], strict=True)]
    return (
        f"first reading of its {len(store):,} tiles, in random order",
        format_seconds(median(first[1:])),
        format_seconds(median(clocks[1:])),
        f"{median(shares):.0%}",
        "-",
        "-",
    )


def _importing(folder: Path, repeats: int) -> Row:
    """Import a folder of pictures, whose names and patients are hashed with a key: two hashes a tile."""
    random = np.random.default_rng(2)
    for index in range(_NUM_FILES):
        path = folder / "images" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (_TILE, _TILE, 3), dtype=np.uint8)).save(path)
    whole, hashing = [], []
    for number in range(repeats + 1):
        clock = Clock()
        hashed = naming.Pseudonyms.__call__
        naming.Pseudonyms.__call__ = clock.timed(hashed)  # type: ignore[method-assign]
        began = time.perf_counter()
        import_folder(folder / "images", ImportOptions(size=_TILE, out=folder / f"imported-{number}"))
        whole.append(time.perf_counter() - began)
        hashing.append(clock.seconds)
        naming.Pseudonyms.__call__ = hashed  # type: ignore[method-assign]
    shares = [part / each for part, each in zip(hashing[1:], whole[1:], strict=True)]
    return (
        f"import of {_NUM_FILES:,} PNG files of {_TILE} px: pseudonyms of patients and files",
        format_seconds(median(whole[1:])),
        format_seconds(median(hashing[1:])),
        f"{median(shares):.1%}",
        "-",
        "-",
    )


if __name__ == "__main__":
    main()
