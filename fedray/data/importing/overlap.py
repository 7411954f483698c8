"""Patients, slides or lesions that splits which were given put on both sides: a score on those is too good."""

from dataclasses import replace
from typing import Literal

from fedray.data.importing.images import LeftOut, ListedImage, Listing
from fedray.data.store import StoreError

OverlapChoice = Literal["refuse", "leave-out"]
"""What becomes of a group in both splits: 'refuse' ends the import, 'leave-out' takes its training images out."""

IN_TEST_TOO = "a training picture of a patient, slide or lesion that is in the test split too (--overlap leave-out)"


def refuse_overlap(listing: Listing, origin: str, remedy: str) -> None:
    """Check that no group is in train and in test.

    Args:
        listing: Images with the splits and groups that were given; one without either is in none.
        origin: The folder or table, for messages.
        remedy: What to do about it.

    Raises:
        StoreError: Some are; the message counts them.
    """
    if shared := _in_both(listing):
        others = f" and {len(shared) - 1:,} more are" if len(shared) > 1 else " is"
        raise StoreError(
            f"the group {min(shared)!r}{others} in both splits in {origin} ({_count(listing, shared)}), but a patient, "
            f"slide or lesion must be in one of them; {remedy}"
        )


def leave_out_overlap(listing: Listing) -> Listing:
    """Take the training images of groups out that are in test too; the test split stays as it was given."""
    if not (shared := _in_both(listing)):
        return listing
    taken = [image for image in listing.images if _is_taken(image, shared)]
    note = (
        f"{len(shared):,} of the groups, such as {min(shared)!r}, are in both splits as given "
        f"({_count(listing, shared)}): those training images were left out"
    )
    return replace(
        listing,
        images=tuple(image for image in listing.images if not _is_taken(image, shared)),
        left_out=(*listing.left_out, *(LeftOut(image.source, IN_TEST_TOO) for image in taken)),
        notes=(*listing.notes, note),
    )


def _in_both(listing: Listing) -> set[str]:
    train, test = (
        {image.group for image in listing.images if image.group and image.split == split} for split in ("train", "test")
    )
    return train & test


def _is_taken(image: ListedImage, shared: set[str]) -> bool:
    return image.split == "train" and image.group in shared


def _count(listing: Listing, shared: set[str]) -> str:
    splits = [image.split for image in listing.images if image.group in shared]
    return f"{splits.count('train'):,} training and {splits.count('test'):,} test images"
