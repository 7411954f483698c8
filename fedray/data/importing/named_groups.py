"""Patients and slides that stand in the files' names: as groups where the user says so, else a question."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fedray.data.importing.images import ListedImage, Listing
from fedray.data.store import SPLITS, StoreError

KNOWN_PATTERNS = (
    r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}",  # a patient of The Cancer Genome Atlas
    r"SOB_[BM]_[A-Z]+-\d+-[0-9A-Z]+",  # a slide of BreakHis
    r"(?i:(?<![a-z])(?:patient|person|subject|donor|case|slide|wsi)[ _-]?\d+)",
    r"([^/]+?)[ _\[(-]+[xX][_=-]?\d+[ _,-]+[yY][_=-]?\d+",  # coordinates behind the name of a slide
)
"""Regular expressions of names that are not one image's own."""


def group_by_name(listing: Listing, pattern: str | None) -> Listing:
    """Give images without a group the patient or slide that their names hold.

    Args:
        listing: What was found.
        pattern: Regular expression that finds it in an image's source: its first group, or all that matches. Empty:
            the names say nothing. Unset: they are questioned, unless any image has a group.

    Raises:
        StoreError: The pattern is none or finds nothing, or nothing is said of names that look like patients and would
            be split.
    """
    if pattern:
        return _grouped(listing, _compiled(pattern))
    if pattern is None and not any(image.group for image in listing.images):
        return _questioned(listing)
    return listing


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise StoreError(f"--group-pattern must be a regular expression, but got {pattern!r}: {error}") from None


def _found(pattern: re.Pattern[str], source: str) -> str:
    match = pattern.search(source)
    return "" if match is None else (match[1] if pattern.groups else match[0]) or ""


def _grouped(listing: Listing, pattern: re.Pattern[str]) -> Listing:
    images = [image if image.group else replace(image, group=_found(pattern, image.source)) for image in listing.images]
    without = [image.source for image in images if not image.group]
    if images and len(without) == len(images):
        raise StoreError(f"--group-pattern {pattern.pattern!r} finds nothing in any image's path, such as {without[0]}")
    notes = [*listing.notes]
    if without:
        notes.append(
            f"{len(without)} of {len(images)} images, first {without[0]}, have no match of --group-pattern: each is a "
            "group of its own"
        )
    return replace(listing, images=tuple(images), notes=tuple(notes))


def _questioned(listing: Listing) -> Listing:
    """Refuse to split images whose names repeat a patient or slide; of splits that are given, say what is in both."""
    for pattern in KNOWN_PATTERNS:
        found = [_found(re.compile(pattern), image.source) for image in listing.images]
        counts = Counter(name for name in found if name)
        if len(counts) < 2 or counts.total() == len(counts):
            continue
        name, count = counts.most_common(1)[0]
        if listing.images[0].split is None:
            raise StoreError(
                f"the files' names hold {len(counts)} patients or slides, such as {name!r} in {count} images, and a "
                f"split of single files would put one into train and test; --group-pattern '{pattern}' keeps each "
                "together, --group-pattern '' if those are none"
            )
        if shared := _in_both(listing.images, found):
            note = (
                f"the files' names hold {len(shared)} patients or slides that are in train and in test, such as "
                f"{shared[0]!r}; if that is right, scores come out too good"
            )
            return replace(listing, notes=(*listing.notes, note))
        return listing
    return listing


def _in_both(images: Sequence[ListedImage], names: Sequence[str]) -> list[str]:
    train, test = (
        {name for image, name in zip(images, names, strict=True) if image.split == split and name} for split in SPLITS
    )
    return sorted(train & test)
