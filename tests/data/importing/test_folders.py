from pathlib import Path

import pytest

from fedray.data import StoreError
from fedray.data.importing.folders import list_folder
from fedray.data.importing.tables import list_csv
from tests.small import WriteImages


def test_label_folders(write_images: WriteImages) -> None:
    folder = write_images({"b": 2, "a/slide-1": 1, "a": 1, ".hidden": 1})
    (folder / "a" / "notes.txt").touch()
    (folder / "a" / "._0.png").touch()
    listed = list_folder(folder).images
    assert [(image.source, image.label, image.split) for image in listed] == [
        ("a/0.png", "a", None), ("a/slide-1/0.png", "a", None), ("b/0.png", "b", None), ("b/1.png", "b", None),
    ]  # fmt: skip


def test_split_folders(write_images: WriteImages) -> None:
    listed = list_folder(write_images({"train/a": 2, "test/a": 1})).images
    assert [(image.source, image.label, image.split) for image in listed] == [
        ("train/a/0.png", "a", "train"), ("train/a/1.png", "a", "train"), ("test/a/0.png", "a", "test"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "does not exist"),
        ({"a": 0}, r"label folder .*/a has no image"),
        ({"a": 5, "b": 1}, "label 'b' must have at least 2 images.*but has 1.*add images or remove the label"),
        ({"train/a": 2, "test/a": 2, "val/a": 2}, "folder 'val', but a tile store has two splits"),
        ({"train/a": 2}, "must hold either the folders train and test or label folders only, but holds"),
        ({"train/a": 2, "test/a": 2, "c": 2}, "but holds .*'c'"),
        ({"train/a": 2, "test/b": 2}, "label 'a' must have images in train and in test, but has none in test"),
    ],
)
def test_a_folder_that_cannot_be_listed(write_images: WriteImages, counts: dict[str, int], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        list_folder(write_images(counts))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="names no image; it must hold one folder a label"):
        list_folder(tmp_path)


def test_a_csv_file_with_every_column(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"x": 3})
    csv = tmp_path / "elsewhere.csv"
    csv.write_text(
        "\ufeffimage,label,domain,group,split,age\nx/0.png,a,s1,p1,train,3\nx/1.png,a,,p2,test,4\nx/2.png,a,s2,,train,5\n",
        encoding="utf-8",
    )
    listed = list_csv(csv, folder).images
    assert [(i.path, i.label, i.domain, i.group, i.split) for i in listed] == [
        (folder / "x/0.png", "a", "s1", "p1", "train"),
        (folder / "x/1.png", "a", "default", "p2", "test"),
        (folder / "x/2.png", "a", "s2", "", "train"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,class\nx/0.png,a\n", r"label is missing from \['image', 'class'\]"),
        ("", "image, label is missing"),
        ("image,label\n", "names no image"),
        ("image,label\nx/0.png,\n", "line 2: the column label must not be empty"),
        (
            "image,label,split\nx/0.png,a,val\nx/1.png,a,test\n",
            "line 2: split must be 'train' or 'test', but got 'val'",
        ),
        ("image,label,split\nx/0.png,a,train\nx/1.png,a,\n", r"1 rows have no split, first x/1\.png"),
        ("image,label\nx/0.png,a\nx/7.png,a\n", r"1 files that do not exist, first .*x/7\.png"),
        ("image,label\nx/0.png,a\nx/0.png,a\n", r"1 images more than once, first x/0\.png"),
        ("image,label,group,split\nx/0.png,a,p,train\nx/1.png,a,p,test\n", "group 'p' is in both splits"),
        ("image,label\nx/0.png,a\nx/1.png,b\n", "label 'a' must have at least 2 images"),
    ],
)
def test_a_csv_file_that_breaks_a_rule(write_images: WriteImages, content: str, message: str) -> None:
    csv = write_images({"x": 3}) / "list.csv"
    csv.write_text(content)
    with pytest.raises(StoreError, match=message):
        list_csv(csv)


def test_a_csv_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read the CSV file"):
        list_csv(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"image,label\n\xff\xfe\n")
    with pytest.raises(StoreError, match="not a CSV file in UTF-8"):
        list_csv(tmp_path / "binary.csv")
