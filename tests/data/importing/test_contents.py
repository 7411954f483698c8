"""Which files and folders count."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.data import StoreError
from fedray.data.importing import contents as c
from fedray.data.importing.contents import list_contents
from tests.support.small import Touch


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir/", "__MACOSX/", "lost+found/", "$RECYCLE.BIN/", "System Volume Information/", "#recycle/", ".git/",
        ".ipynb_checkpoints/", ".Trash-1000/", "__pycache__/", "Thumbs.db", "THUMBS.DB", "desktop.ini", "Desktop.ini",
        ".DS_Store", "._0.png", ".hidden.png", "~$labels.xlsx", ".~lock.labels.csv#", "Icon\r", "ehthumbs.db",
        "SYNOFILE_THUMB_M.png", "~snapshot/", "0.png:Zone.Identifier", "DICOMDIR",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "a/", "a/patient/"])
def test_what_a_system_left_behind_is_no_data_wherever_it_lies(touch: Touch, name: str, place: str) -> None:
    inside = f"{name}thumb.png" if name.endswith("/") else name
    contents = list_contents(touch(["a/0.png", "a/patient/1.png", place + inside]))
    assert [str(image) for image in contents.images] == ["a/0.png", "a/patient/1.png"]
    assert [str(folder) for folder in contents.folders] == ["a", "a/patient"]
    assert [(entry.place, entry.reason) for entry in contents.left_out] == [(place + name, c.SYSTEM)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".1.png.icloud", c.ICLOUD),
        ("0.png~", c.UNFINISHED), ("0.png.bak", c.UNFINISHED), ("0.jpg.part", c.UNFINISHED),
        ("0.jpg.crdownload", c.UNFINISHED), ("#0.png#", c.UNFINISHED), ("labels.CSV", c.TABLE), ("a.tsv", c.TABLE),
        ("a.xlsx", c.TABLE), ("HAM10000_metadata", c.TABLE), ("Labels.txt", c.TABLE),
        ("part1.zip", c.ARCHIVE), ("part1.tar.gz", c.ARCHIVE), ("part1.TAR", c.ARCHIVE),
        ("film.mp4", c.FILM), ("pathmnist.npz", c.ARRAYS), ("notes.txt", c.NO_IMAGE), ("LICENSE", c.NO_IMAGE),
    ],
)  # fmt: skip
def test_a_file_that_is_no_image_has_its_reason(touch: Touch, name: str, reason: str) -> None:
    contents = list_contents(touch(["a/0.png", f"a/{name}"]))
    assert [str(image) for image in contents.images] == ["a/0.png"]
    assert [(entry.place, entry.reason) for entry in contents.left_out] == [(f"a/{name}", reason)]


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("benign/benign (1).png", "benign/benign (1)_mask.png"),
        ("benign/benign (1).png", "benign/benign (1)_mask_1.png"),
        ("a/ISIC_0000001.jpg", "a/ISIC_0000001_segmentation.png"),
        ("a/0.tif", "a/0-GT.bmp"),
        ("images/0.png", "masks/0.png"),
        ("a/images/0.png", "a/masks/0.png"),
        ("a/Images/0.png", "a/Segmentation/0_seg.tif"),
    ],
)
def test_a_mask_of_a_picture_is_no_picture(touch: Touch, picture: str, mask: str) -> None:
    contents = list_contents(touch([picture, mask]))
    assert [str(image) for image in contents.images] == [picture]
    assert [(entry.place, entry.reason) for entry in contents.left_out] == [(mask, c.MASK)]
    assert {str(folder) for folder in contents.folders} <= {str(parent) for parent in Path(picture).parents}


@pytest.mark.parametrize("name", ["a/1_mask.png", "masks/1.png", "unmasked/0.png", "a/0_masked.png", "a/0_2.png"])
def test_a_picture_that_is_no_mask_of_another_counts(touch: Touch, name: str) -> None:
    assert len(list_contents(touch(["a/0.png", name])).images) == 2


def test_a_store_and_its_pictures_of_masks_are_no_label(touch: Touch) -> None:
    store = ["a/s/store.json", "a/s/tiles.arrow", "a/s-masks/0000-x.tissue.png"]
    contents = list_contents(touch(["a/0.png", "b-masks/1.png", *store]))
    assert [str(image) for image in contents.images] == ["a/0.png", "b-masks/1.png"]
    assert [str(folder) for folder in contents.folders] == ["a", "b-masks"]
    reasons = [(entry.place, entry.reason) for entry in contents.left_out]
    assert reasons == [("a/s/", c.STORE), ("a/s-masks/", c.STORE_MASKS)]


@pytest.mark.parametrize(
    "name", ["0.PNG", "0.Jpeg", "0.JFIF", "0.jpe", "0.gif", "0.jp2", "0.dib", "0.TIF", "0.dcm", "0.webp", "0.bmp"]
)
def test_an_image_by_its_ending_in_any_case(touch: Touch, name: str) -> None:
    assert [str(image) for image in list_contents(touch([f"a/{name}"])).images] == [f"a/{name}"]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("name", ["scan", "scan.001", "IM-0001", "1.2.840.113"])
def test_an_image_by_its_content(touch: Touch, format: str, name: str) -> None:
    root = touch(["a/"])
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(root / "a" / name, format=format)
    (root / "a" / "README").write_text("BM is how these notes begin")
    (root / "a" / "archive").write_bytes(b"PK\x03\x04" + bytes(100))
    contents = list_contents(root)
    assert [image.name for image in contents.images] == [name]
    assert {entry.place: entry.reason for entry in contents.left_out} == {
        "a/README": c.NO_IMAGE,
        "a/archive": c.ARCHIVE,
    }


def test_links_are_followed_but_not_in_circles(touch: Touch, tmp_path: Path) -> None:
    root = touch(["a/0.png", "b/1.png"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.png").touch()
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "other").symlink_to(root / "b")
    (root / "a" / "far-up").symlink_to(tmp_path)
    (root / "a" / "3.png").symlink_to(root / "b" / "1.png")
    (root / "a" / "gone").symlink_to(root / "nowhere")
    contents = list_contents(root)
    assert [str(image) for image in contents.images] == ["a/0.png", "a/3.png", "b/1.png", "c/2.png"]
    assert {entry.place: entry.reason for entry in contents.left_out} == {
        "a/up/": c.LINK, "a/other/": c.LINK, "a/far-up/": c.LINK, "c/again/": c.LINK, "a/gone": c.SPECIAL,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.bak", c.UNFINISHED), ("a~", c.UNFINISHED), ("more.zip.download", c.UNFINISHED), ("s.ome.zarr", c.ZARR)],
)
def test_a_folder_that_is_not_searched_has_its_reason(touch: Touch, name: str, reason: str) -> None:
    contents = list_contents(touch(["a/0.png", f"{name}/0.png", f"a/{name}/1.png"]))
    assert [str(image) for image in contents.images] == ["a/0.png"]
    assert [(entry.place, entry.reason) for entry in contents.left_out] == [
        (f"{name}/", reason), (f"a/{name}/", reason),
    ]  # fmt: skip


def test_a_missing_image_behind_a_link_is_not_passed_over(touch: Touch) -> None:
    root = touch(["a/0.png"])
    (root / "a" / "1.png").symlink_to("../.git/annex/objects/1.png")
    assert [image.name for image in list_contents(root).images] == ["0.png", "1.png"]


def test_a_pipe_is_not_opened(touch: Touch) -> None:
    root = touch(["a/0.png"])
    os.mkfifo(root / "a" / "1.png")
    os.mkfifo(root / "a" / "pipe")
    contents = list_contents(root)
    assert [image.name for image in contents.images] == ["0.png"]
    assert [entry.reason for entry in contents.left_out] == [c.SPECIAL, c.SPECIAL]


def test_a_folder_that_cannot_be_read_is_refused(touch: Touch, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = touch(["a/0.png", "b/"]), os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever runs the tests may be allowed to read everything
    with pytest.raises(StoreError, match=r"images/b cannot be read \(Permission denied\).*make it readable"):
        list_contents(root)


def test_a_name_that_no_store_can_hold_is_refused(touch: Touch) -> None:
    root = touch(["a/0.png"])
    os.close(os.open(os.fsencode(root / "a") + b"/caf\xe9.png", os.O_CREAT))
    with pytest.raises(StoreError, match=r"not valid UTF-8: b'caf\\xe9\.png'; rename it"):
        list_contents(root)


def test_a_place_that_is_no_folder(touch: Touch, tmp_path: Path) -> None:
    root = touch(["labels.csv"])
    with pytest.raises(StoreError, match="does not exist; give the folder"):
        list_contents(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is no folder, but a table: --csv imports"):
        list_contents(root / "labels.csv")
