"""The data sets by name, and the cache folder in which they and everything else that FedRay caches live."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from fedray.config import SITES, DataConfig, nearest_name
from fedray.data.colon import build_colon
from fedray.data.shared import copy_or_make, fetch_store
from fedray.data.some_domains import without_domain
from fedray.data.store import FORMAT_VERSION, StoreError, TileStore
from fedray.storage import is_uri, private_folder, remove_leftovers, why_not_writable

DATASETS: dict[str, Callable[[DataConfig, Path], TileStore]] = {"colon": build_colon}

_EMBEDDED = {"tile_size": 32, "num_domains": 1}
"""What a data set of DATASETS is built with where nothing else is said."""

_BUILD_VERSION = 1
"""Raise it when a builder in DATASETS changes its tiles: cached stores are then built again."""


def open_store(config: DataConfig) -> TileStore:
    """Open the configured tile store; one with a name is built, one with an address fetched, on its first use here.

    What is returned lacks the domain that is held out, whose tiles :func:`fedray.data.external_store` has.

    Raises:
        StoreError: There is no such data set and no such path, the store there cannot be read, or it is not as
            ``tile_size`` and ``num_domains`` say, or has no ``held_out_domain``.
    """
    store = _open(config)
    has = {"tile_size": store.tile_size, "num_domains": len(store.domain_names)}
    for name, value in has.items():
        if getattr(config, name) not in (None, value):
            raise StoreError(
                f"data.{name} is {getattr(config, name)}, but the tile store {config.store} has {value}; leave "
                f"data.{name} out, or make a store with the other value (jobs/prepare_data.py)"
            )
    return store if config.held_out_domain is None else without_domain(store, config.held_out_domain)


def _open(config: DataConfig) -> TileStore:
    if config.store == SITES:
        raise StoreError(
            f"data.store {SITES!r} is for `flwr run` on SuperNodes that have a store each, but this command needs "
            "tiles itself; name a store"
        )
    if is_uri(config.store):
        return fetch_store(config.store, cache_dir() / "fetched")
    if config.store not in DATASETS:
        if not Path(config.store).expanduser().exists():
            raise StoreError(
                f"data.store must be a tile store's path, an s3:// or gs:// address, or one of {sorted(DATASETS)}, but "
                f"there is no {config.store!r}{nearest_name(config.store, DATASETS)} "
                "(jobs/prepare_data.py makes a store)"
            )
        return TileStore.open(config.store)
    config = config.model_copy(update=_EMBEDDED | config.model_dump(exclude_none=True))
    folder = cache_dir() / "stores"
    build = f"{config.store}-{config.tile_size}px-{config.num_domains}d-v{FORMAT_VERSION}.{_BUILD_VERSION}"
    return copy_or_make(folder / build, lambda: DATASETS[config.store](config, folder / build))


def absolute_store(config: DataConfig) -> DataConfig:
    """Return the config with an absolute path of its store, for processes that run in other folders."""
    path = Path(config.store).expanduser()
    if config.store in (*DATASETS, SITES) or is_uri(config.store) or not path.exists():
        return config
    return config.model_copy(update={"store": str(path.resolve())})


def cache_dir() -> Path:
    """Return the folder for everything FedRay caches: ``$FEDRAY_CACHE``, or ``~/.cache/fedray``.

    Where it is missing it is made, for this user alone: it holds tiles. What processes that died were writing there
    goes. A folder that was filled may be read-only.

    Raises:
        StoreError: The folder cannot be made, or it is empty and nothing can be written into it.
    """
    folder = Path(os.environ.get("FEDRAY_CACHE") or "~/.cache/fedray").expanduser()
    _check_cache(folder)
    return folder


@cache  # once for a folder: it is asked for often
def _check_cache(folder: Path) -> None:
    try:
        private_folder(folder)
    except OSError as error:
        raise StoreError(
            f"cannot make the cache folder {folder} ({error.strerror}); set FEDRAY_CACHE to a writable folder"
        ) from None
    remove_leftovers(folder)
    is_filled = any((folder / name).is_dir() for name in ("stores", "fetched", "evaluation"))
    if (problem := why_not_writable(folder)) and not is_filled:
        raise StoreError(
            f"cannot write to the cache folder {folder} ({problem}); set FEDRAY_CACHE to a writable folder"
        )
