"""What a table, a folder or its links name outside the folder that was given is read only where that is asked for."""

from pathlib import Path

import pytest

from fedray.data import ImportOptions, StoreError, import_csv, import_folder, import_split_folders
from fedray.data.given import given_tiles
from fedray.data.importing.outside import paths_outside
from tests.support.small import WriteImages


def row(folder: Path, elsewhere: Path, name: str) -> str:
    """Name the picture elsewhere as a row may."""
    if name == "..":
        return f"../{elsewhere.name}/y/0.png"
    if name == "absolute":
        return str(elsewhere / "y" / "0.png")
    if name == "a link":
        (folder / "x" / "link.png").symlink_to(elsewhere / "y" / "0.png")
        return "x/link.png"
    (folder / "linked").symlink_to(elsewhere / "y")
    return "linked/0.png"


def table_with(folder: Path, *rows: str) -> Path:
    lines = [f"x/{i}.png,{'ab'[i % 2]}" for i in range(7)]
    (folder / "list.csv").write_text("\n".join(["image,label", *lines, *(f"{named},b" for named in rows)]))
    return folder / "list.csv"


@pytest.mark.parametrize("name", ["..", "absolute", "a link", "a linked folder"])
def test_rows_of_a_table_lead_nowhere_else(write_images: WriteImages, tmp_path: Path, name: str) -> None:
    folder, elsewhere = write_images({"x": 7}), write_images({"x": 8, "y": 2}, root="elsewhere")
    table = table_with(folder, row(folder, elsewhere, name))
    options = ImportOptions(size=16, out=tmp_path / "store", duplicates="first")
    with pytest.raises(
        StoreError, match=rf"1 of 8 files lie outside {folder}, first .*elsewhere/y/0\.png\).*--outside"
    ):
        import_csv(table, options)
    assert not options.out.exists()
    allowed = ImportOptions(size=16, out=tmp_path / "store", outside="allow", names="plain")
    assert len(import_csv(table, allowed).store) == 8
    # The folder that holds both is one in which nothing lies outside.
    table.write_text(
        table.read_text().replace("\nx/", "\nimages/x/").replace("\n../", "\n").replace("\nl", "\nimages/l")
    )
    inside = ImportOptions(size=16, out=tmp_path / "inside")
    assert len(import_csv(table, inside, tmp_path).store) == 8


def test_links_that_lead_back_and_names_that_go_round_are_inside(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"x": 8})
    (tmp_path / "by another name").symlink_to(folder)
    (folder / "x" / "9.png").symlink_to(folder / "x" / "7.png")
    table = table_with(folder, "x/../x/9.png")
    table.write_text(table.read_text().replace("\nx/0.png", f"\n{folder}/x/0.png"))
    for number, images in enumerate((folder, tmp_path / "by another name")):
        report = import_csv(table, ImportOptions(size=16, out=tmp_path / str(number)), images)
        assert len(report.store) == 8


def test_links_in_label_folders_lead_nowhere_else(write_images: WriteImages, tmp_path: Path) -> None:
    folder, elsewhere = write_images({"a": 4, "b": 4}), write_images({"x": 4, "y": 8}, root="elsewhere")
    store = import_folder(folder, ImportOptions(size=16, out=tmp_path / "store")).store
    (folder / "a" / "linked").symlink_to(elsewhere / "y")
    with pytest.raises(
        StoreError, match=r"8 of 16 files lie outside .*images, first a/linked/0\.png \(.*elsewhere/y/0"
    ):
        import_folder(folder, ImportOptions(size=16, out=tmp_path / "other"))
    with pytest.raises(StoreError, match=r"pictures of .* lie outside it, where links lead, first .*a/linked/0\.png"):
        given_tiles(str(folder), store, resize=True)


def test_two_folders_of_splits_may_link_to_each_other(write_images: WriteImages, tmp_path: Path) -> None:
    both = write_images({"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 1})
    (both / "test" / "b" / "5.png").symlink_to(both / "train" / "b" / "2.png")
    options = ImportOptions(size=16, out=tmp_path / "store", duplicates="first")
    store = import_split_folders(both / "train", both / "test", options).store
    assert (len(store.indices("train")), len(store.indices("test"))) == (5, 4)


def test_a_folder_beside_one_that_begins_alike_is_outside(tmp_path: Path) -> None:
    for name in ("site", "site-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    named = [tmp_path / "site" / "1.png", tmp_path / "site-b" / "1.png", tmp_path / "site" / ".." / "site-b" / "1.png"]
    assert list(paths_outside(named, [tmp_path / "site"])) == named[1:]
    assert list(paths_outside(named, [tmp_path / "site", tmp_path / "site-b"])) == []
