"""What every feature extractor must do, whoever trained it."""

import atexit
import contextlib
import functools
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import Tile, TileStore, write_store
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.extractors.base import hash_weights
from fedray.testing.suite import Suite

Load = Callable[[TileStore, EvaluationConfig], Extractor]
"""What a registry of extractors holds."""

Tiles = NDArray[np.uint8]

CPU = torch.device("cpu")
ROUNDING = 1e-4
"""Of the features' own spread: what batches, threads and processors may change."""


class ExtractorSuite(Suite):
    """Tests of a function that loads an extractor for a store, given as ``load``, with a ``config`` that it goes with.

    The store has 80 tiles of 16 px with two labels. All is cached in a folder of the tests' own.
    """

    given = ("load", "config")

    def test_features_are_one_row_a_tile_of_the_width_that_is_said(self, load: Load, config: EvaluationConfig) -> None:
        """float32, finite, of tiles as a store has them (read-only) and of other sizes."""
        extractor = _loaded(load, config)
        assert extractor.name and "/" not in extractor.name, (
            f"the name is a part of scores' names, which '/' ends, but is {extractor.name!r}"
        )
        for size in (16, 50):
            tiles = np.resize(_tiles()[:3], (3, size, size, 3))
            tiles.flags.writeable = False
            found = extractor.features(tiles, CPU)
            assert found.shape == (3, extractor.width), (
                f"features of 3 tiles of {size} px must be (3, {extractor.width}) as width says, but are {found.shape}"
            )
            assert found.dtype == np.float32, f"features must be float32, but are {found.dtype}"
            assert np.isfinite(found).all(), f"features of tiles of {size} px must be finite"

    def test_the_batch_does_not_change_a_tiles_features(self, load: Load, config: EvaluationConfig) -> None:
        """Beyond rounding: alone, among others, and in another order."""
        extractor, tiles = _loaded(load, config), _tiles()[:6]
        together = extractor.features(tiles, CPU)
        alone = np.concatenate([extractor.features(tile[np.newaxis], CPU) for tile in tiles[:2]])
        _check_close(alone, together[:2], "features of a tile alone and in a batch")
        _check_close(extractor.features(tiles[::-1].copy(), CPU)[::-1], together, "features of tiles in two orders")

    def test_it_sees_that_tiles_differ(self, load: Load, config: EvaluationConfig) -> None:
        """Equal tiles have equal features, and others have not."""
        found = _loaded(load, config).features(_tiles()[[0, 1, 0]], CPU)
        _check_close(found[2], found[0], "features of equal tiles")
        assert np.abs(found[1] - found[0]).max() > ROUNDING, "features of different tiles must differ"

    def test_the_network_is_frozen(self, load: Load, config: EvaluationConfig) -> None:
        """In evaluation mode, without gradients, and as it was after it has been used."""
        extractor = _loaded(load, config)
        training = [name for name, module in extractor.network.named_modules() if module.training]
        assert not training, f"the network must be in evaluation mode, but {training[:3]} train: call eval()"
        trained = [name for name, value in extractor.network.named_parameters() if value.requires_grad]
        assert not trained, f"the network must be frozen, but {trained[:3]} want gradients: call requires_grad_(False)"
        before = hash_weights(extractor.network)
        extractor.features(_tiles()[:3], CPU)
        assert hash_weights(extractor.network) == before, "computing features must not change weights or buffers"

    def test_loaded_again_it_is_the_same(self, load: Load, config: EvaluationConfig) -> None:
        """With the same identity, whatever the process drew before, and without drawing from global randomness."""
        first = _loaded(load, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            state = torch.get_rng_state()
            with _cache(_folder() / "cache"):
                again = load(_store(), config)
            kept = torch.equal(state, torch.get_rng_state())
        assert kept, "loading must leave PyTorch's global random state as it was: fork it (torch.random.fork_rng)"
        assert again.identity == first.identity, "of one store and configuration there must be one identity"
        assert np.array_equal(again.features(_tiles()[:3], CPU), first.features(_tiles()[:3], CPU)), (
            "extractors of one identity must have the same features"
        )

    def test_made_anew_on_another_machine_it_is_the_same_but_for_rounding(
        self, load: Load, config: EvaluationConfig
    ) -> None:
        """With an empty cache, another global random state and another number of threads."""
        first, threads = _loaded(load, config).features(_tiles()[:6], CPU), torch.get_num_threads()
        torch.set_num_threads(1 if threads > 1 else 2)
        try:
            with torch.random.fork_rng(devices=[]), _cache(_folder() / "other-cache"):
                torch.manual_seed(2)
                made = load(_store(), config)
        finally:
            torch.set_num_threads(threads)
        _check_close(made.features(_tiles()[:6], CPU), first, "features of an extractor that was made twice")

    def test_another_process_sees_the_same(self, load: Load, config: EvaluationConfig) -> None:
        """A new process that reads the same cache has the same identity and the same features."""
        extractor, tiles = _loaded(load, config), _tiles()[:3]
        with _cache(_folder() / "cache"):
            identity, features = _other_process().submit(_answer, load, _store(), config, tiles).result(timeout=600)
        assert identity == extractor.identity, "another process must find the same identity"
        _check_close(features, extractor.features(tiles, CPU), "features in two processes")


@functools.lru_cache(maxsize=1)
def _loaded(load: Load, config: EvaluationConfig) -> Extractor:
    with _cache(_folder() / "cache"):
        return load(_store(), config)


def _answer(load: Load, store: TileStore, config: EvaluationConfig, tiles: Tiles) -> tuple[str, NDArray[np.float32]]:
    extractor = load(store, config)
    return extractor.identity, extractor.features(tiles, CPU)


@functools.cache
def _other_process() -> ProcessPoolExecutor:
    """Start one for all extractors: it imports PyTorch, which takes seconds."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


@functools.cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="fedray-testing-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def _store() -> TileStore:
    rng = np.random.default_rng(0)
    tiles = [
        Tile(
            rng.integers(0, 128, (16, 16, 3), dtype=np.uint8) + np.uint8(127 * (i % 2)),
            label=i % 2, domain=0, group=f"g{i}", split="test" if i % 4 >= 2 else "train", source=f"tile {i}",
        )
        for i in range(80)
    ]  # fmt: skip
    return write_store(_folder() / "store", tiles, label_names=["dark", "bright"])


def _tiles() -> Tiles:
    store = _store()
    return store.tiles(store.indices("test")[:8])


@contextlib.contextmanager
def _cache(folder: Path) -> Iterator[None]:
    with mock.patch.dict(os.environ, FEDRAY_CACHE=str(folder)):
        yield


def _check_close(found: NDArray[np.float32], expected: NDArray[np.float32], what: str) -> None:
    apart = np.abs(found - expected).max()
    allowed = ROUNDING * max(1.0, float(np.abs(expected).max()))
    assert apart <= allowed, f"{what} must agree to rounding ({allowed:.1g}), but are {apart:.3g} apart"
