"""Which slides are listed: label folders and tables as for pictures, one entry a slide."""

from pathlib import Path

import pytest
from PIL import Image

from fedray.data import StoreError
from fedray.data.decoding import SLIDE_SUFFIXES, DecodeError, decode_tile
from fedray.data.slides import list_slide_folder, list_slide_split_folders, list_slide_table
from fedray.data.slides.listing import NO_SLIDE, SAME_SLIDE, UNREAD_SLIDE
from tests.support.slides import Picture, write_dicom, write_mirax, write_svs


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    root = tmp_path / "slides"
    (root / "tumour" / "p1").mkdir(parents=True)
    write_svs(root / "tumour" / "p1" / "1.svs", picture)
    Image.fromarray(picture).save(root / "tumour" / "p1" / "photo.jpg")
    write_dicom(root / "tumour" / "d1", picture)
    write_dicom(root / "tumour" / "d2", picture)
    (root / "normal").mkdir()
    write_mirax(root / "normal" / "2.mrxs", picture)
    (root / "normal" / "Thumbs.db").touch()
    (root / "normal" / "olympus.vsi").touch()
    return root


def test_every_slide_is_listed_once_and_all_else_with_its_reason(folder: Path) -> None:
    listing = list_slide_folder(folder)
    assert [(image.source, image.label) for image in listing.images] == [
        ("normal/2.mrxs", "normal"),
        ("tumour/d1/1.dcm", "tumour"),
        ("tumour/d2/1.dcm", "tumour"),
        ("tumour/p1/1.svs", "tumour"),
    ]
    reasons = {entry.place: entry.reason for entry in listing.left_out}
    assert reasons["tumour/p1/photo.jpg"] == NO_SLIDE and reasons["normal/olympus.vsi"] == UNREAD_SLIDE
    assert reasons["tumour/d1/2.dcm"] == reasons["tumour/d2/2.dcm"] == SAME_SLIDE
    assert {"normal/Thumbs.db", "normal/2/Index.dat", "normal/2/Slidedat.ini"} <= set(reasons)


@pytest.mark.parametrize("suffix", SLIDE_SUFFIXES)
def test_what_the_import_calls_a_slide_is_listed_as_one(tmp_path: Path, suffix: str) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / f"1{suffix}").touch()
    with pytest.raises(DecodeError, match=f"{suffix} is a slide scanner's format; cut it with jobs/cut_tiles.py"):
        decode_tile(tmp_path / "a" / f"1{suffix}", 16)
    assert len(list_slide_folder(tmp_path).images) == 2


def test_a_table_names_slides_in_its_column_slide(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "slides.csv"
    table.write_text("slide;label;group;client\n1.svs;t;p1;north\n2.mrxs;n;p2;south\n")
    listing = list_slide_table(table, folder)
    found = [(image.path.name, image.label, image.group, image.client) for image in listing.images]
    assert found == [("1.svs", "t", "p1", "north"), ("2.mrxs", "n", "p2", "south")]
    table.write_text("slide,label,patient\n1.svs,t,p1\n2.mrxs,n,p2\n")
    with pytest.raises(StoreError, match=r"'patient'.*group=patient"):
        list_slide_table(table, folder)


def test_two_folders_are_two_splits(tmp_path: Path, picture: Picture) -> None:
    for place in ("here/a/1.svs", "here/b/2.svs", "there/a/3.svs", "there/b/4.svs"):
        (tmp_path / place).parent.mkdir(parents=True)
        write_svs(tmp_path / place, picture)
    listing = list_slide_split_folders(tmp_path / "here", tmp_path / "there")
    found = [(image.source, image.label, image.split) for image in listing.images]
    assert found == [("train/a/1.svs", "a", "train"), ("train/b/2.svs", "b", "train"),
                     ("test/a/3.svs", "a", "test"), ("test/b/4.svs", "b", "test")]  # fmt: skip


def test_a_folder_without_slides_says_what_is_there(tmp_path: Path, picture: Picture) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(picture).save(tmp_path / label / "1.png")
    with pytest.raises(StoreError, match=f"no slide .* is in {tmp_path}, but left out: 2 x {NO_SLIDE}"):
        list_slide_folder(tmp_path)
