"""The usual names of splits, in folders and in tables, and what becomes of a validation split."""

import re
from typing import Literal

from fedray.data.store import StoreError

ValidationChoice = Literal["train", "test", "leave-out"]
"""Where the images of a validation split go."""

LEFT_OUT_VALIDATION = "in a validation split, left out as asked"
"""Reason of a picture or row."""

FoundSplit = Literal["train", "test", "val"]

_WORDS: dict[str, FoundSplit] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}
_HINTS = {"train", "training", "test", "testing", "val", "validation", "eval", "evaluation", "holdout", "heldout"}
_ENDINGS = {"", "set", "sets", "split", "data", "dataset", "images", "imgs"}


def split_named(name: str) -> FoundSplit | None:
    """Return the split that a name stands for, in any case: ``Training``, ``TEST``, ``val_set``; None: for no split."""
    words = _words(name)
    # 'trainset' is one word, 'train-set' two.
    for word, split in _WORDS.items():
        if words and words[0].startswith(word) and "".join([words[0].removeprefix(word), *words[1:]]) in _ENDINGS:
            return split
    return None


def mentions_split(name: str) -> bool:
    """Whether a name hints at a split, as ``CRC-VAL-HE-7K``, ``ISIC_2019_Training_Input`` and ``holdout`` do."""
    return split_named(name) is not None or any(word in _HINTS for word in _words(name))


def settle_split(found: FoundSplit, validation: ValidationChoice | None, where: str) -> Literal["train", "test"] | None:
    """Return the store's split of a found one; None: its images are left out.

    Args:
        found: The split that a folder or cell names.
        validation: What the user chose for a validation split.
        where: The folder or cell, for the message.

    Raises:
        StoreError: It is a validation split, and nothing was chosen.
    """
    if found != "val":
        return found
    if validation is None:
        raise StoreError(
            f"{where} is a validation split, but a tile store has two splits, train and test; say what becomes of it: "
            "--val train or --val test adds its images to that split, --val leave-out imports none of them"
        )
    return None if validation == "leave-out" else validation


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.casefold())
