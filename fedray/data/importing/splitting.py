"""The split of images that come without one: stratified by label, and no group is separated."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedray.data.importing.images import ListedImage
from fedray.data.importing.labels import leave_out
from fedray.data.store import StoreError
from fedray.randomness import stream


def split_images(
    images: Sequence[ListedImage], test_share: float, seed: int, num_tiles: Sequence[int] | None = None
) -> list[ListedImage]:
    """Split images into train and test.

    Groups are visited in random order, the large ones first; one goes to test where that brings the labels' test counts
    nearer to ``test_share`` of each label. Then whole groups are moved until every label has an image on either side,
    even where its groups are so large that this is far from the share.

    Args:
        images: Images without a split; an image without a group is a group of its own.
        test_share: Share of each label's images that goes to test, in (0, 1).
        seed: Of the order of the groups.
        num_tiles: How many tiles each image becomes; unset: 1.

    Raises:
        StoreError: A label is in one group only.
    """
    labels = sorted({image.label for image in images})
    code = {label: i for i, label in enumerate(labels)}
    members: defaultdict[str, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        members[image.group or f"image:{image.source}"].append(i)
    counts = np.zeros((len(members), len(labels)), dtype=np.int64)
    for row, indices in enumerate(members.values()):
        for i in indices:
            counts[row, code[images[i].label]] += 1 if num_tiles is None else num_tiles[i]
    in_test = _with_every_label(counts, _choose_groups(counts, test_share, seed))
    for label, groups, tested in zip(labels, (counts > 0).sum(axis=0), (counts[in_test] > 0).sum(axis=0), strict=True):
        if not 0 < tested < groups:
            raise StoreError(
                f"the label {label!r} cannot be split into train and test without separating a group: its images are "
                f"in {groups} group(s); add groups, leave the label out ({leave_out(label)}), or give the split in a "
                "table's column 'split'"
            )
    split = ["train"] * len(images)
    for tested_group, indices in zip(in_test, members.values(), strict=True):
        for i in indices:
            split[i] = "test" if tested_group else "train"
    return [replace(image, split=chosen) for image, chosen in zip(images, split, strict=True)]


def _choose_groups(counts: np.ndarray, test_share: float, seed: int) -> np.ndarray:
    """Choose the groups of the test split.

    Args:
        counts: Images of each group and label, int64 [num_groups, num_labels].
        test_share: Wanted share of each label.
        seed: Of the order.

    Returns:
        bool [num_groups].
    """
    totals = counts.sum(axis=0)
    wanted = np.clip(np.round(test_share * totals), 1, totals - 1)
    order = stream(seed, "split").permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    in_test = np.zeros(len(counts), dtype=bool)
    missing = wanted.astype(np.float64)
    for group in order:
        # Relative to the label's wanted count, so that a rare label weighs as much as a frequent one.
        before, after = np.abs(missing) / wanted, np.abs(missing - counts[group]) / wanted
        if after.sum() < before.sum():
            in_test[group] = True
            missing = missing - counts[group]
    return in_test


def _with_every_label(counts: np.ndarray, in_test: np.ndarray) -> np.ndarray:
    """Move the smallest groups that bring a missing label to a side without taking one from the other.

    Args:
        counts: Images of each group and label, int64 [num_groups, num_labels].
        in_test: The groups of the test split, bool [num_groups].

    Returns:
        bool [num_groups].
    """
    in_test = in_test.copy()
    has = counts > 0
    for to_test in (True, False):
        for label in np.flatnonzero(~has[in_test == to_test].any(axis=0)):
            if has[in_test == to_test, label].any():
                continue  # came with a group that was moved for another label
            spare = has[in_test != to_test].sum(axis=0) > 1
            movable = (in_test != to_test) & has[:, label] & (spare | ~has).all(axis=1)
            if movable.any():
                candidates = np.flatnonzero(movable)
                in_test[candidates[counts[candidates].sum(axis=1).argmin()]] = to_test
    return in_test
