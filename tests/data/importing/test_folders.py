"""Which folder level is the label."""

import pytest

from fedray.data import StoreError
from fedray.data.importing.folders import OUTSIDE, list_folder, list_split_folders, parse_levels
from fedray.data.importing.splits import LEFT_OUT_VALIDATION
from tests.support.small import Touch


def two(*folders: str) -> list[str]:
    """Two images in each folder."""
    return [f"{folder}/{i}.png" for folder in folders for i in range(2)]


def test_label_folders_are_searched(touch: Touch) -> None:
    listing = list_folder(touch(["b/0.png", "a/1.png", "a/patient-1/0.png"]))
    assert [(image.source, image.label, image.split) for image in listing.images] == [
        ("a/1.png", "a", None), ("a/patient-1/0.png", "a", None), ("b/0.png", "b", None),
    ]  # fmt: skip
    assert "such as a/patient-1" in listing.notes[0] and "--levels label/group" in listing.notes[0]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"), ("Training", "Testing"), ("Train", "Test"), ("TRAIN", "TEST"), ("training_set", "test_set"),
        ("Train Data", "test-data"), ("trainset", "testset"), ("train_images", "test_images"),
    ],
)  # fmt: skip
def test_splits_by_their_usual_names(touch: Touch, train: str, test: str) -> None:
    listing = list_folder(
        touch([*two(f"{train}/a", f"{train}/b", f"{test}/a", f"{test}/b"), "@eaDir/x.png", "top.png"])
    )
    assert {(image.label, image.split) for image in listing.images} == {
        ("a", "train"), ("b", "train"), ("a", "test"), ("b", "test"),
    }  # fmt: skip
    assert ("top.png", OUTSIDE) in [(entry.place, entry.reason) for entry in listing.left_out]
    assert listing.images[0].source == f"{train}/a/0.png"


@pytest.mark.parametrize("val", ["val", "Valid", "VALIDATION", "dev", "val_set"])
def test_a_validation_split_goes_where_it_is_asked_to(touch: Touch, val: str) -> None:
    root = touch(two("Training/a", f"{val}/a", "Testing/a"))
    with pytest.raises(StoreError, match=rf"images/{val} is a validation split.*--val train or --val test.*leave-out"):
        list_folder(root)
    splits = {c: [image.split for image in list_folder(root, validation=c).images] for c in ("train", "test")}
    assert splits["train"].count("train") == 4 and splits["test"].count("test") == 4
    listing = list_folder(root, validation="leave-out")
    assert len(listing.images) == 4
    assert [(entry.place, entry.reason) for entry in listing.left_out] == [
        (f"{val}/a/0.png", LEFT_OUT_VALIDATION), (f"{val}/a/1.png", LEFT_OUT_VALIDATION),
    ]  # fmt: skip


def test_a_validation_split_can_stand_for_the_test_split(touch: Touch) -> None:
    root = touch(two("train/a", "val/a"))
    assert [image.split for image in list_folder(root, validation="test").images].count("test") == 2
    with pytest.raises(StoreError, match=r"must hold a train and a test split.*choose another --val"):
        list_folder(root, validation="train")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"images holds no image; add images"),
        (["a/__MACOSX/0.png", "a/1.zip"], r"holds no image \(left out: 1 x an archive.*; 1 x left by"),
        (["0.png", "1.png"], r"must hold folders as LABEL/IMAGE, but all images lie further up.*--csv FILE"),
        (["0.png", "metadata.csv"], r"in a table: --csv .*/images/metadata\.csv"),
        ([*two("a"), "b/"], r"the folder .*images/b has no image; add images, or remove the folder"),
        ([*two("a"), "b/all.zip"], r"images/b has no image \(left out: 1 x an archive: unpack it"),
        ([*two("train/a", "test/a"), "test/b/Thumbs.db"], r"test/b has no image \(left out: 1 x left by"),
        (
            two("train/a", "test/a", "c"),
            r"beside 'test', 'train' it holds 'c'; .*--train \S+/train --test \S+/test.*--levels label",
        ),
        (two("train/a"), r"must hold a train and a test split, but holds 'train' only; have one folder split here"),
        (two("train/a", "Training/a", "test/a"), r"two folders of one split, '\w+' and '\w+'"),
        (
            two("a", "b", "My Test 2"),
            r"in doubt whether 'My Test 2' .* is a label or a split; .*--train DIR --test DIR",
        ),
        (two("NCT-CRC-HE-100K/ADI", "CRC-VAL-HE-7K/ADI"), r"'CRC-VAL-HE-7K' .* is a label or a split"),
        (two("development", "holdout"), r"whether 'holdout' in .* is a label or a split"),
        (two("ISIC_2019_Training_Input", "ISIC_2019_Test_Input"), r"is a label or a split"),
        (two("a/train", "a/test", "b/train", "b/test"), r"what 'test', 'train' in .*/a are; --levels label/split"),
        (
            two("data/a", "data/b"),
            r"'data' alone, and that holds 'a', 'b'; --images .*images/data if those are the labels",
        ),
        (two("data/train/a", "data/test/a"), r"what 'test', 'train' in .*/data are;.*--images .*/data if the data set"),
        (two("site 1/tumour", "site 1/normal", "site 2/tumour"), r"'site 1', 'site 2' in .* hold a folder 'tumour'"),
        (two("benign/p1", "malignant/P1"), r"hold a folder 'p1'; --domains .*--levels label/group .*--levels label if"),
        (
            two("train/s1/a", "train/s2/a", "test/s1/a", "test/s2/a"),
            r"'s1', 's2' in .*/train all hold a folder 'a'; .*--levels split/label/group",
        ),
        (two("train/s1/a", "test/s1/a"), r"/train holds the folder 's1' alone.*--domains.*--levels split/label if"),
    ],
)
def test_what_is_in_doubt_is_refused_with_the_way_forward(touch: Touch, paths: list[str], message: str) -> None:
    with pytest.raises(StoreError, match=message) as refused:
        list_folder(touch(paths))
    assert "\n" not in str(refused.value)


def test_the_top_level_is_the_domain_if_that_is_said(touch: Touch) -> None:
    paths = two("site 1/tumour", "site 1/normal", "site 2/tumour", "site 2/normal")
    listing = list_folder(touch(paths), domains=True)
    assert {(image.domain, image.label) for image in listing.images} == {
        (domain, label) for domain in ("site 1", "site 2") for label in ("normal", "tumour")
    }


def test_domains_lie_in_splits_too(touch: Touch) -> None:
    listing = list_folder(touch([*two("Train/s1/a", "Train/s2/a", "Test/s1/a"), "Train/s1/x.png"]), domains=True)
    assert {(image.split, image.domain, image.label) for image in listing.images} == {
        ("train", "s1", "a"), ("train", "s2", "a"), ("test", "s1", "a"),
    }  # fmt: skip
    assert [entry.place for entry in listing.left_out] == ["Train/s1/x.png"]


@pytest.mark.parametrize(
    ("paths", "levels", "expected"),
    [
        (two("benign/p1", "malignant/p1"), "label/group", ["benign|p1|default|None", "malignant|p1|default|None"]),
        (two("a/train", "a/TEST"), "label/split", ["a||default|test", "a||default|train"]),
        (two("s1/p7/a"), "domain/group/label", ["a|p7|s1|None"]),
        (two("Test", "Train"), "label", ["Test||default|None", "Train||default|None"]),
        (two("data/a"), "label", ["data||default|None"]),
        (two("Train/s/a/p", "Test/s/a/q"), "split/domain/label/group", ["a|p|s|train", "a|q|s|test"]),
    ],
)  # fmt: skip
def test_levels_that_are_said_are_taken_as_said(
    touch: Touch, paths: list[str], levels: str, expected: list[str]
) -> None:
    images = list_folder(touch(paths), parse_levels(levels)).images
    assert sorted({f"{i.label}|{i.group}|{i.domain}|{i.split}" for i in images}) == expected
    assert len(images) == len(paths)


def test_a_domain_that_is_called_as_a_split(touch: Touch) -> None:
    with pytest.raises(StoreError, match=r"'test site' .* is a domain or a split; .*--levels domain/label if all"):
        list_folder(touch(two("test site/a", "s2/a")), domains=True)


def test_a_patient_without_pictures_is_no_label(touch: Touch) -> None:
    root = touch([*two("a/p1", "b/p2"), "a/p3/", "b/loose.png"])
    listing = list_folder(root, ("label", "group"))
    assert sorted({image.group for image in listing.images}) == ["p1", "p2"]
    assert [(entry.place, entry.reason) for entry in listing.left_out] == [("b/loose.png", OUTSIDE)]


def test_a_level_of_splits_holds_splits(touch: Touch) -> None:
    with pytest.raises(StoreError, match=r"level 'split' must be named as a split.*a/x/0\.png is in 'x'"):
        list_folder(touch(two("a/x")), parse_levels("label/split"))


@pytest.mark.parametrize("text", ["domain", "label/label", "patient/label", "", "label/"])
def test_levels_that_are_none(text: str) -> None:
    with pytest.raises(StoreError, match=r"--levels must name .*split, client, domain, label, group.*but got"):
        parse_levels(text)


def test_two_folders_that_lie_apart(touch: Touch) -> None:
    root = touch([*two("NCT-CRC-HE-100K/ADI", "NCT-CRC-HE-100K/TUM", "CRC-VAL-HE-7K/ADI"), "CRC-VAL-HE-7K/labels.csv"])
    listing = list_split_folders(root / "NCT-CRC-HE-100K", root / "CRC-VAL-HE-7K")
    assert {(image.split, image.label) for image in listing.images} == {
        ("train", "ADI"), ("train", "TUM"), ("test", "ADI"),
    }  # fmt: skip
    assert listing.images[0].source == "train/ADI/0.png"
    assert [entry.place for entry in listing.left_out] == ["test/labels.csv"]
    assert f"--csv {root}/CRC-VAL-HE-7K/labels.csv" in listing.notes[0]
    for wrong in (root / "NCT-CRC-HE-100K" / "ADI", root / "NCT-CRC-HE-100K"):
        with pytest.raises(StoreError, match="must be two folders apart"):
            list_split_folders(root / "NCT-CRC-HE-100K", wrong)
    with pytest.raises(StoreError, match="leave out the split beside --train and --test"):
        list_split_folders(root / "NCT-CRC-HE-100K", root / "CRC-VAL-HE-7K", ("split", "label"))


def test_a_table_in_the_folder_is_pointed_out(touch: Touch) -> None:
    root = touch([*two("train/a", "test/a"), "metadata.csv"])
    (note,) = list_folder(root).notes
    assert note.startswith("'metadata.csv' was not read") and note.endswith(f"--csv {root}/metadata.csv")
