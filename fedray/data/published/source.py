"""What a published data set is to the import."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from fedray.data.importing.images import Listing, OnError
from fedray.data.importing.outside import OutsideChoice
from fedray.data.importing.splits import ValidationChoice
from fedray.data.store import SPLITS


class Source(Protocol):
    """A published data set, as it lies in a folder once its archives are unpacked there."""

    @property
    def title(self) -> str:
        """Its name, for people."""

    def is_in(self, folder: Path) -> bool:
        """Whether a folder looks as if the data set lay in it."""

    def list_images(
        self, folder: Path, validation: ValidationChoice | None, on_error: OnError, outside: OutsideChoice
    ) -> Listing:
        """List its images, with label, domain, group and split as published.

        Args:
            folder: Where its archives were unpacked; sub-folders are searched.
            validation: What becomes of the images of a validation split.
            on_error: What an image or row does that cannot be taken: 'fail' ends the import, 'skip' leaves it out.
            outside: Whether a table is read to which a link out of the folder leads.

        Raises:
            StoreError: A table, a column, a folder or pictures are missing, or something is there twice.
        """


def note_overlap(listing: Listing) -> Listing:
    """Say that no patient or lesion is in both splits, where both name some: an overlap is the import's to settle."""
    train, test = (
        {image.group for image in listing.images if image.group and image.split == split} for split in SPLITS
    )
    if not (train and test) or train & test:
        return listing
    note = f"no patient or lesion is in both splits, of {len(train):,} in train and {len(test):,} in test"
    return replace(listing, notes=(*listing.notes, note))


def without_lone_split(listing: Listing) -> Listing:
    """Leave the split to the import where one split alone is there, or none is said."""
    if len({image.split for image in listing.images}) != 1:
        return listing
    note = (
        "no published split of labelled pictures is here: the test split is taken from these, whole groups together "
        "(--test-share, --seed)"
    )
    images = tuple(replace(image, split=None) for image in listing.images)
    return replace(listing, images=images, notes=(*listing.notes, note))
