"""What every tile and listing must fulfil: enough of each label in both splits."""

from collections import Counter
from collections.abc import Iterable, Sequence

from fedray.data.importing.contents import describe_reasons
from fedray.data.importing.images import Listing
from fedray.data.importing.labels import leave_out
from fedray.data.store import SPLITS, StoreError


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Check an option that is one of some words.

    Raises:
        StoreError: It is none of them.
    """
    allowed = [*choices]
    if value not in allowed:
        raise StoreError(f"{name} must be {' or '.join(map(repr, allowed))}, but got {value!r}")


def check_tile_size(size: int) -> None:
    """Check the edge of a tile in pixels: networks halve it several times.

    Raises:
        StoreError: It is not 16 to 1024, or no multiple of 8.
    """
    if not 16 <= size <= 1024 or size % 8:
        raise StoreError(f"size must be 16 to 1024 pixels, a multiple of 8, but got {size}")


def check_listing(listing: Listing, origin: str) -> None:
    """Check the images of a listing before the first one is decoded.

    Args:
        listing: What was found.
        origin: The folder or table, for messages.

    Raises:
        StoreError: No image, too few of a label, or a label in one split only.
    """
    if not listing.images:
        reasons = describe_reasons(listing.left_out)
        raise StoreError(f"{origin} names no image to import{f' ({reasons})' if reasons else ''}; add some")
    for label, count in Counter(image.label for image in listing.images).items():
        if count < 2:
            raise StoreError(
                f"the label {label!r} must have at least 2 images, 1 to train and 1 to test, but has {count} in "
                f"{origin}; add images, or leave it out: {leave_out(label)}"
            )
    check_label_splits([(image.label, image.split) for image in listing.images if image.split], origin)


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
                    f"add some, or leave it out: {leave_out(label)}"
                )
