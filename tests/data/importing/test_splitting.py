from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fedray.data import StoreError
from fedray.data.importing.images import ListedImage
from fedray.data.importing.splitting import split_images


def images(groups: list[tuple[str, str]]) -> list[ListedImage]:
    return [ListedImage(Path(f"{i}.png"), f"{i}.png", label, group=group) for i, (label, group) in enumerate(groups)]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_single_images_are_split_exactly_by_label(share: float) -> None:
    split = split_images(images([("a", "")] * 100 + [("b", "")] * 30), share, seed=0)
    assert Counter((image.label, image.split) for image in split)["a", "test"] == round(100 * share)
    assert Counter((image.label, image.split) for image in split)["b", "test"] == round(30 * share)


def test_a_label_with_two_images_is_on_both_sides() -> None:
    assert {image.split for image in split_images(images([("a", "")] * 2), 0.05, seed=0)} == {"train", "test"}


def test_a_split_never_separates_a_group_and_stays_near_the_share() -> None:
    rng = np.random.default_rng(0)
    listed = images([(rng.choice(["a", "a", "b"]), f"p{rng.integers(60)}") for _ in range(600)])
    split = split_images(listed, 0.2, seed=0)
    assert len({(image.group, image.split) for image in split}) == len({image.group for image in listed})
    for label in "ab":
        of_label = [image.split for image in split if image.label == label]
        assert abs(of_label.count("test") / len(of_label) - 0.2) < 0.05


def test_the_seed_decides() -> None:
    listed = images([("a", "")] * 50)
    assert split_images(listed, 0.2, seed=0) == split_images(listed, 0.2, seed=0)
    assert split_images(listed, 0.2, seed=0) != split_images(listed, 0.2, seed=1)


def test_a_label_in_one_group_cannot_be_split() -> None:
    with pytest.raises(StoreError, match=r"label 'b' cannot be split .* in 1 group\(s\)"):
        split_images(images([("a", "p1"), ("a", "p2"), ("b", "p3"), ("b", "p3")]), 0.3, seed=0)


@pytest.mark.parametrize(
    "groups",
    [
        [("a", "p1")] * 50 + [("a", "p2")] * 50,
        [(label, f"p{group}") for group in range(3) for label in "aabb"],
        [("a", "p1")] * 30 + [("a", "p2")] * 30 + [("b", "p3")] * 3 + [("b", "p4")] * 5,
        [("a", "p1"), ("b", "p1")] * 9 + [("a", "p2")] * 9 + [("b", "p3")] * 9,
    ],
)
@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_a_label_with_large_groups_is_on_both_sides(groups: list[tuple[str, str]], share: float) -> None:
    split = split_images(images(groups), share, seed=0)
    assert {(image.label, image.split) for image in split} == {
        (name, s) for name, _ in groups for s in ("train", "test")
    }
    assert len({(image.group, image.split) for image in split}) == len({group for _, group in groups})
