"""What every listing must fulfil, wherever its images were named: enough of each label, in both splits."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fedray.data.decoding import EXTENSIONS
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.store import SPLITS, StoreError


def check_images(listed: list[ListedImage], origin: Path) -> Listing:
    """Check that there are images, and enough of each label."""
    if not listed:
        raise StoreError(
            f"{origin} names no image; it must hold one folder a label, with images ({' '.join(EXTENSIONS)})"
        )
    for label, count in Counter(image.label for image in listed).items():
        if count < 2:
            raise StoreError(
                f"the label {label!r} must have at least 2 images, 1 to train and 1 to test, but has {count} in "
                f"{origin}; add images or remove the label"
            )
    check_label_splits([(image.label, image.split) for image in listed if image.split], str(origin))
    return Listing(tuple(listed))


def check_label_splits(pairs: Sequence[tuple[str, str | None]], origin: str) -> None:
    """Check that every label is in both splits.

    Raises:
        StoreError: A label has images in one split only.
    """
    present = set(pairs)
    for label in sorted({label for label, _ in pairs}):
        for split in SPLITS:
            if (label, split) not in present:
                raise StoreError(
                    f"the label {label!r} must have images in train and in test, but has none in {split} ({origin}); "
                    "add some or remove the label"
                )
