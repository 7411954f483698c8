"""Pictures of one scanner become those of several: which patient is seen by which, split by split."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedray.config import nearest_name
from fedray.data.importing.images import DEFAULT_DOMAIN, ListedImage
from fedray.data.importing.option_texts import parse_list
from fedray.data.scanners import SCANNERS
from fedray.data.store import SPLITS, StoreError
from fedray.data.whole_groups import Codes, deal_groups
from fedray.randomness import stream


def parse_scanners(text: str) -> tuple[str, ...]:
    """Read names of scanners, ``NAME,NAME``; empty: none are asked for.

    Raises:
        StoreError: One is not in :data:`fedray.data.scanners.SCANNERS`, or stands there twice.
    """
    names = tuple(name for name in parse_list(text) if name)
    if unknown := [name for name in names if name not in SCANNERS]:
        raise StoreError(
            f"--scanners must be some of {', '.join(SCANNERS)}, but got {unknown[0]!r}"
            f"{nearest_name(unknown[0], SCANNERS)}"
        )
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise StoreError(f"--scanners must name each scanner once, but {twice[0]!r} stands there twice")
    return names


def rendered_source(source: str, names: Sequence[str]) -> str:
    """Say where tiles come from, and what they were rendered by."""
    return f"{source}, rendered as by {', '.join(names)}" if names else source


def deal_scanners(
    images: Sequence[ListedImage], names: Sequence[str], seed: int, num_tiles: Sequence[int] | None = None
) -> list[ListedImage]:
    """Give each picture the scanner that renders it, as its domain.

    Patients stay whole: in each split they are dealt so that all scanners have as even counts of each label as they
    allow. Where every picture is a group of its own, counts differ by 1 at most.

    Args:
        images: With their splits.
        names: Of the scanners; none: the pictures stay as they are.
        seed: Of who is dealt to whom.
        num_tiles: How many tiles each picture becomes; unset: 1.

    Raises:
        StoreError: The pictures come from scanners of their own, or a split has fewer patients than there are scanners.
    """
    if not names:
        return list(images)
    if own := sorted({image.domain for image in images} - {DEFAULT_DOMAIN}):
        raise StoreError(
            f"--scanners is for pictures of one scanner, but these have the domain(s) {', '.join(map(repr, own))}; "
            "leave it out"
        )
    domains = [""] * len(images)
    weights = np.ones(len(images), np.int64) if num_tiles is None else np.asarray(num_tiles, np.int64)
    labels, groups = (
        _codes([image.label for image in images]),
        _codes([image.group or image.source for image in images]),
    )
    for split in SPLITS:
        own_places = np.array([place for place, image in enumerate(images) if image.split == split], np.int64)
        _check_enough(len(np.unique(groups[own_places])), names, split)
        tiles = np.repeat(own_places, weights[own_places])
        totals = np.bincount(labels[tiles], minlength=int(labels.max()) + 1)
        target = np.tile(totals / len(names), (len(names), 1))
        parts = deal_groups(labels[tiles], groups[tiles], target, stream(seed, "scanners", split))
        for name, part in zip(names, parts, strict=True):
            for place in np.unique(tiles[part]).tolist():
                domains[place] = name
    return [replace(image, domain=domain) for image, domain in zip(images, domains, strict=True)]


def _check_enough(num_groups: int, names: Sequence[str], split: str) -> None:
    if num_groups < len(names):
        raise StoreError(
            f"--scanners deals whole patients (pictures, where none are named), but the {split} split has {num_groups} "
            f"for {len(names)} scanners; name fewer"
        )


def _codes(words: Sequence[str]) -> Codes:
    codes: Codes = np.unique(np.array(words, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)
    return codes
