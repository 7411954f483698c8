"""Patients and slides in the names of files."""

from pathlib import Path

import pytest

from fedray.data import StoreError
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.importing.named_groups import group_by_name


def listing(*sources: str, split: str | None = None) -> Listing:
    return Listing(tuple(ListedImage(Path(s), s, s.split("/")[0], split=split) for s in sources))


@pytest.mark.parametrize(
    ("name", "owners"),
    [
        ("blk-{}-01Z-00-DX1-{}.png", ("TCGA-CK-5912", "TCGA-AA-3602")),
        ("{}-40-00{}.png", ("SOB_B_A-14-22549AB", "SOB_M_DC-14-2523")),
        ("{}_node_4_{}.png", ("patient_004", "patient_017")),
        ("{}_bacteria_{}.jpeg", ("person1", "person20")),
        ("{}_x51_y{}_class0.png", ("10253_idx5", "8863_idx5")),
        ("{} [x=1024,y={},w=256].png", ("H 21.4", "H 21.5")),
    ],
)
def test_a_repeated_owner_is_questioned_and_kept_together(name: str, owners: tuple[str, str]) -> None:
    images = listing(*(f"{label}/{name.format(owner, i)}" for label in "ab" for owner in owners for i in range(2)))
    with pytest.raises(StoreError, match=r"hold 2 patients or slides, .* in 4 images") as error:
        group_by_name(images, None)
    assert repr(owners[0]) in str(error.value)
    offered = str(error.value).split("--group-pattern '")[1].split("' keeps")[0]
    assert {image.group for image in group_by_name(images, offered).images} == set(owners)
    assert group_by_name(images, "") == images


@pytest.mark.parametrize(
    "sources",
    [
        ["a/case_1.png", "a/case_2.png", "b/case_3.png"],  # one image of each
        ["a/ADI-AAAMHQMK.tif", "b/ISIC_0000001.jpg", "b/colonca12.jpeg", "b/IM-0001-0001.png"],
        ["a/tile_x0_y1.png", "a/tile_x1_y1.png", "b/tile_x0_y5.png"],  # a word that all share
        ["a/showcase-1-1.png", "a/showcase-1-2.png", "b/showcase-2-1.png"],
    ],
)
def test_ordinary_names_are_not_questioned(sources: list[str]) -> None:
    assert group_by_name(listing(*sources), None) == listing(*sources)


def test_owners_in_both_of_the_given_splits_are_said() -> None:
    train = listing("a/patient_1_0.png", "b/patient_2_0.png", "b/patient_2_1.png", split="train")
    test = listing("a/patient_2_2.png", "b/patient_3_0.png", split="test")
    found = group_by_name(Listing((*train.images, *test.images)), None)
    assert found.notes[0].startswith("the files' names hold 1 patients or slides that are in train and in test")
    assert group_by_name(Listing((*train.images, *test.images[1:])), None).notes == ()


@pytest.mark.parametrize(("pattern", "message"), [("(", "must be a regular expression"), ("X9", "finds nothing")])
def test_a_wrong_pattern(pattern: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        group_by_name(listing("a/0.png"), pattern)


def test_images_without_a_match_are_said() -> None:
    found = group_by_name(listing("a/p1-0.png", "a/p1-1.png", "b/other.png"), r"p\d+")
    assert [image.group for image in found.images] == ["p1", "p1", ""]
    assert "1 of 3 images, first b/other.png, have no match" in found.notes[0]
