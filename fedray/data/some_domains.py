"""Some domains of a tile store, as a store of their own: what is left where one is held out, and what that one has."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedray.config import nearest_name
from fedray.data.store import StoreError, TileStore


class SomeDomains(TileStore):
    """The tiles of some domains of a store, mapped from its file: no pixel is copied.

    Indices, codes of domains and codes of groups count these tiles alone; labels and clients keep their codes. The
    fingerprint follows from the whole store's and the domains' names, so nothing that is cached of one is taken for
    the other's.

    Attributes:
        whole: The store with all domains.
    """

    def __init__(self, whole: TileStore, domain_names: Sequence[str], name: str) -> None:
        """Take some domains.

        Args:
            whole: The store.
            domain_names: Of domains that it has, in the order of its codes.
            name: What people call these tiles.
        """
        codes = np.array([whole.domain_names.index(domain) for domain in domain_names], np.int64)
        self.whole = whole
        self._rows = np.flatnonzero(np.isin(whole.domains, codes))
        self.path, self.name, self.source = whole.path, name, whole.source
        self.fingerprint = _fingerprint(whole, domain_names)
        self.tile_size, self.channels = whole.tile_size, whole.channels
        self.label_names, self.domain_names = whole.label_names, tuple(domain_names)
        self.labels = self._of_these(whole.labels)
        self.domains = self._of_these(np.searchsorted(codes, whole.domains))
        groups, own = np.unique(whole.groups[self._rows], return_inverse=True)
        self.groups = _read_only(own.astype(np.int64))
        self.group_kind, self.names, self._groups = whole.group_kind, whole.names, groups
        self.client_names, self.clients = whole.client_names, self._of_these(whole.clients)
        self._split_codes = self._of_these(whole._split_codes)
        self.origin = whole.origin

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the whole store's path and the names."""
        return SomeDomains, (self.whole, self.domain_names, self.name)

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """Name of each group code (patient, slide or region)."""
        return tuple(self.whole.group_names[code] for code in self._groups)

    def tiles(self, indices: Any) -> NDArray[np.uint8]:
        """Return tiles; as of :meth:`TileStore.tiles`."""
        if isinstance(indices, slice):
            indices = np.arange(len(self))[indices]
        indices = np.asarray(indices)
        if len(indices) and indices.dtype.kind in "iu":
            if indices.min() < 0 or indices.max() >= len(self):
                raise IndexError(
                    f"tile indices must be in [0, {len(self)}), but got {indices.min()} to {indices.max()}"
                )
            indices = self._rows[indices]
        return self.whole.tiles(indices)

    def sources(self, indices: Any) -> list[str]:
        """Return where tiles come from; as of :meth:`TileStore.sources`."""
        return self.whole.sources(self._rows[np.asarray(indices, dtype=np.int64)])

    def _of_these(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        return _read_only(codes[self._rows].astype(np.int64))


def without_domain(store: TileStore, domain: str) -> SomeDomains:
    """Return a store as if it lacked a domain: the others keep their order.

    Raises:
        StoreError: It has no such domain, or no other.
    """
    _check_has(store, domain)
    others = [name for name in store.domain_names if name != domain]
    return SomeDomains(store, others, f"{store.name} without {domain}")


def of_domain(store: TileStore, domain: str) -> SomeDomains:
    """Return the tiles of one domain of a store. Errors as of :func:`without_domain`."""
    _check_has(store, domain)
    return SomeDomains(store, [domain], f"{domain} of {store.name}")


def _check_has(store: TileStore, domain: str) -> None:
    names = store.domain_names
    if domain not in names:
        raise StoreError(
            f"data.held_out_domain must be a domain of {store.name!r}, one of {', '.join(map(repr, names))}, but got "
            f"{domain!r}{nearest_name(domain, names)}"
        )
    if len(names) == 1:
        raise StoreError(
            f"data.held_out_domain {domain!r} is the only domain of {store.name!r}, so nothing would be left to train "
            "on; take a store with several (data.num_domains for 'colon', jobs/prepare_data.py --scanners for pictures "
            "of one)"
        )


def _fingerprint(whole: TileStore, domain_names: Sequence[str]) -> str:
    return hashlib.blake2b(repr((whole.fingerprint, [*domain_names])).encode(), digest_size=16).hexdigest()


def _read_only(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    codes.flags.writeable = False
    return codes
