"""The data sets of tables: their quirks are taken as they are, every other deviation is one clear error."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedray.data import ImportOptions, ImportReport, StoreError, import_published
from fedray.data.importing.overlap import IN_TEST_TOO
from fedray.data.importing.rows import ABSENT, NO_HOT, SEVERAL_HOT
from fedray.data.importing.tables import SAME_BYTES, WITHOUT_ROW
from fedray.data.published import SOURCES
from fedray.data.published.tables import UNLABELLED, UNPUBLISHED
from tests.support.published import BCN_COLUMNS, HAM_COLUMNS, LAYOUTS, draw, write_rows

Change = Callable[[Path], object]
TRUTH, METADATA = "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv"


def edit(file: str, old: str, new: str, count: int = 1) -> Change:
    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert re.search(old, text), (old, text)
        (root / file).write_text(re.sub(old, new, text, count=count))

    return change


def remove(*places: str) -> Change:
    def change(root: Path) -> None:
        for place in places:
            shutil.rmtree(root / place) if (root / place).is_dir() else (root / place).unlink()

    return change


def run(name: str, tmp_path: Path, *changes: Change, **options: object) -> ImportReport:
    root = LAYOUTS[name](tmp_path / "set")
    for change in changes:
        change(root)
    chosen = {"size": 16, "out": tmp_path / "store", "test_share": 0.4, "names": "plain", **options}
    return import_published(name, root, ImportOptions(**chosen))  # type: ignore[arg-type]


def reasons(report: ImportReport) -> dict[str, int]:
    found = [entry.reason for entry in report.left_out]
    return {reason: found.count(reason) for reason in dict.fromkeys(found)}


def test_ham10000_as_kaggle_has_it(tmp_path: Path) -> None:
    """Its table lacks the laboratory and is named .csv, the folders of pictures are there twice, there is no test."""

    def kaggle(root: Path) -> None:
        lines = (root / "HAM10000_metadata").read_text().splitlines()
        (root / "HAM10000_metadata.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
        shutil.copytree(root / "HAM10000_images_part_1", root / "ham10000_images_part_1")
        (root / "hmnist_28_28_RGB.csv").write_text("pixel0000,label\n1,2\n")

    report = run(
        "ham10000",
        tmp_path,
        kaggle,
        remove("HAM10000_metadata", "ISIC2018_Task3_Test_Images", "ISIC2018_Task3_Test_GroundTruth.tab"),
    )
    assert len(report.store) == 42 and report.store.domain_names == ("default",)
    assert len(report.store.group_names) == 21
    assert reasons(report) == {SAME_BYTES: 21, "a table: --csv imports the pictures that it names": 1}
    assert any(note.startswith("no published split") for note in report.notes)


def test_ham10000_says_what_it_left_out_and_whose_pictures_are_where(tmp_path: Path) -> None:
    report = run("ham10000", tmp_path, lambda root: draw(root / "HAM10000_images_part_1" / "ISIC_9999999.jpg", 1))
    assert reasons(report) == {UNPUBLISHED: 1, WITHOUT_ROW: 1}
    assert report.left_out[0].place == "ISIC2018_Task3_Test_GroundTruth.tab, line 16 (ISIC_0035068)"
    assert report.notes == (
        "HAM10000_metadata: 42 pictures, published as train",
        "ISIC2018_Task3_Test_GroundTruth.tab: 14 pictures, published as test",
        "no patient or lesion is in both splits, of 21 in train and 14 in test",
    )


def test_the_row_without_a_picture_is_taken_where_somebody_has_it(tmp_path: Path) -> None:
    report = run("ham10000", tmp_path, lambda root: draw(root / "more" / "ISIC_0035068.jpg", 1))
    assert len(report.store) == 57 and reasons(report) == {}


def test_lesions_in_both_published_splits_are_counted_and_taken_out_on_request(tmp_path: Path) -> None:
    shared = edit("ISIC2018_Task3_Test_GroundTruth.tab", r"HAMTEST_000000([012])", r"HAM_000000\1", count=3)
    with pytest.raises(
        StoreError, match=r"the group 'HAM_0000000' and 2 more are in both splits in HAM10000 \(6 training and 3 test"
    ):
        run("ham10000", tmp_path, shared)
    assert not (tmp_path / "store").exists()
    shutil.rmtree(tmp_path / "set")
    report = run("ham10000", tmp_path, shared, overlap="leave-out")
    store = report.store
    assert (len(store.indices("train")), len(store.indices("test"))) == (36, 14)
    assert reasons(report) == {UNPUBLISHED: 1, IN_TEST_TOO: 6}
    assert any("3 of the groups, such as 'HAM_0000000', are in both splits as given" in n for n in report.notes)


@pytest.mark.parametrize("as_published", [True, False])
def test_isic2019_finds_pictures_whatever_their_names_end_in(tmp_path: Path, as_published: bool) -> None:
    def rename(root: Path) -> None:
        for file in (root / "ISIC_2019_Training_Input").iterdir():
            other = file.stem.removesuffix("_downsampled") if "_down" in file.stem else f"{file.stem}_downsampled"
            file.rename(file.with_name(f"{other}.jpg"))

    report = run("isic2019", tmp_path, *([] if as_published else [rename]))
    assert len(report.store) == 48
    assert reasons(report) == {"a picture of the label 'UNK'": 2}


def test_isic2019_with_the_table_of_ham10000_knows_its_cameras(tmp_path: Path) -> None:
    def add(root: Path) -> None:
        rows = [("HAM_0", f"ISIC_{i:07d}", "nv", "histo", "1", "male", "back", "rosendahl") for i in range(1, 4)]
        write_rows(root / "ham" / "HAM10000_metadata", HAM_COLUMNS, rows)

    report = run("isic2019", tmp_path, add)
    store = report.store
    assert store.domain_names == ("BCN", "HAM", "HAM_rosendahl", "MSK", "unknown")
    by_source = dict(zip(store.sources(range(len(store))), store.domains.tolist(), strict=True))
    assert store.domain_names[by_source["ISIC_2019_Training_Input/ISIC_0000001.jpg"]] == "HAM_rosendahl"
    assert store.domain_names[by_source["ISIC_2019_Training_Input/ISIC_0000008.jpg"]] == "BCN"
    assert reasons(report) == {"a picture of the label 'UNK'": 2}
    assert report.notes[0].endswith("8 name no lesion, and each of them is a group of its own")
    assert report.notes[1].endswith("it names no lesions, so nobody can see which of them are in both splits")


def test_a_label_that_training_has_too_is_not_set_aside(tmp_path: Path) -> None:
    hot, unknown = "ISIC_000000{},1.0" + ",0.0" * 8, "ISIC_000000{}" + ",0.0" * 8 + ",1.0"
    report = run("isic2019", tmp_path, edit(TRUTH, hot.format(8), unknown.format(8)))
    assert "UNK" in report.store.label_names and report.left_out == ()


def test_bcn20000_with_test_labels_keeps_its_own_split(tmp_path: Path) -> None:
    def label(root: Path) -> None:
        lines = (root / "bcn_20k_test.csv").read_text().splitlines()[1:]
        labels = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "OOD")
        cells = [line.split(",") for line in lines]
        rows = [(*row[:3], labels[i], *row[3:]) for i, row in enumerate(cells)]
        draw(root / "BCN_20k_test" / "BCN_0000000099.jpg", 99)
        rows.append(("BCN_0000000099.jpg", "", "", "OOD", "BCN_0000099", "", "", "test"))
        write_rows(root / "bcn_20k_test.csv", BCN_COLUMNS, rows)

    report = run("bcn20000", tmp_path, label)
    assert (len(report.store.indices("train")), len(report.store.indices("test"))) == (32, 8)
    assert "the label 'OOD' (out of distribution) is in the test set alone: all 1 of it were left out" in report.notes


def test_bcn20000_leaves_a_test_set_without_labels_out(tmp_path: Path) -> None:
    report = run("bcn20000", tmp_path)
    assert reasons(report) == {UNLABELLED: 8}
    assert report.left_out[0].place == "bcn_20k_test.csv, line 2 (BCN_0000000032.jpg)"
    assert "bcn_20k_test.csv has no labels: its pictures were left out" in report.notes


def test_a_table_that_was_written_anew_and_pictures_that_were_made_smaller(tmp_path: Path) -> None:
    """Pandas writes 'nan' for an empty cell; who made the pictures smaller saved PNG."""

    def anew(root: Path) -> None:
        (root / METADATA).write_text((root / METADATA).read_text().replace(",,", ",nan,"))
        for file in (root / "ISIC_2019_Training_Input").iterdir():
            draw(file.with_suffix(".png"), file.stem)
            file.unlink()

    report = run("isic2019", tmp_path, anew)
    assert len(report.store) == 48 and "nan" not in report.store.group_names


ISIC_HEADER = r"'image', 'MEL', 'NV', 'BCC', 'AK', 'BKL', 'DF', 'VASC', 'SCC'"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ham10000", [remove("HAM10000_metadata")],
         r"must hold the table HAM10000_metadata\.csv, but its tables are 'ISIC2018_Task3_Test_GroundTruth\.tab'"
         r"; put it there, it is at doi:10\.7910/DVN/DBW86T"),
        ("ham10000", [edit("HAM10000_metadata", "lesion_id", "lesion")],
         r"HAM10000_metadata has no column 'lesion_id' \(did you mean 'lesion'\?\); it has 'lesion', 'image_id', .*; "
         r"doi:10\.7910/DVN/DBW86T has the table with the columns"),
        ("ham10000", [edit("HAM10000_metadata", "dx_type", "dx")], "has the column 'dx' more than once"),
        ("ham10000", [remove("HAM10000_images_part_1", "HAM10000_images_part_2")],
         r"has none of the 42 pictures that HAM10000_metadata names; unpack HAM10000_images_part_1\.zip and"),
        ("ham10000", [remove("HAM10000_images_part_2")],
         rf"HAM10000_metadata has 21 x {ABSENT}, first: .*; unpack all of HAM10000_images_part_1\.zip and"),
        ("ham10000", [remove("ISIC2018_Task3_Test_Images")],
         r"has none of the 14 pictures that ISIC2018_Task3_Test_GroundTruth\.tab names; unpack "
         r"ISIC2018_Task3_Test_Images\.zip there, or move the table elsewhere"),
        ("ham10000", [edit("HAM10000_metadata", "ISIC_0024307", "ISIC_0024306")], "names 1 images more than once"),
        ("ham10000", [edit("ISIC2018_Task3_Test_GroundTruth.tab", "ISIC_0034525", "ISIC_0024306")],
         "names 1 images more than once"),
        ("ham10000", [lambda root: draw(root / "other" / "ISIC_0024306.jpg", 1)],
         r"1 x a row whose picture's name has several files that differ, first: .*part_1/ISIC_0024306\.jpg and other/"),
        ("ham10000", [lambda root: (root / "HAM10000_metadata.csv").write_text("lesion_id\n")],
         "there are two tables HAM10000_metadata, .* and they differ; move one away"),
        ("isic2019", [remove(METADATA)], "must hold the table ISIC_2019_Training_Metadata"),
        ("isic2019", [edit(TRUTH, ",UNK", ",OTHER")],
         rf"GroundTruth\.csv has no column 'UNK'; it has {ISIC_HEADER}, 'OTHER'; https://challenge"),
        ("isic2019", [edit(METADATA, "lesion_id", "lesion")], "Metadata.csv has no column 'lesion_id'"),
        ("isic2019", [edit(TRUTH, r"ISIC_0000001,0.0,1.0", "ISIC_0000001,0.0,0.0")],
         rf"has 1 x {NO_HOT}, first: ISIC_2019_Training_GroundTruth\.csv, line 3 \(ISIC_0000001\); a pic"),
        ("isic2019", [edit(TRUTH, r"ISIC_0000001,0.0,1.0", "ISIC_0000001,1.0,1.0")], rf"has 1 x {SEVERAL_HOT}"),
        ("isic2019", [edit(TRUTH, r"ISIC_0000001,0.0", "ISIC_0000001,0.5")],
         "the one-hot column 'MEL' must be 0 or 1, but is '0.5'"),
        ("isic2019", [edit(METADATA, "ISIC_0000001,", "ISIC_0000002,")], "image 'ISIC_0000002' stands there twice"),
        ("isic2019", [remove("ISIC_2019_Test_Input")], "has none of the 18 pictures that ISIC_2019_Test_GroundTruth"),
        ("bcn20000", [edit("bcn_20k_train.csv", "diagnosis", "diagnosis_3")],
         r"bcn_20k_train\.csv has no column 'diagnosis' \(did you mean 'diagnosis_3'\?\)"),
        ("bcn20000", [edit("bcn_20k_train.csv", ",train", ",fold-1")], "must be train, test or val in the column"),
    ],
)  # fmt: skip
def test_each_deviation_is_one_clear_error(name: str, changes: list[Change], message: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=message) as refused:
        run(name, tmp_path, *changes)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_rows_that_cannot_be_taken_are_left_out_and_listed_on_request(tmp_path: Path) -> None:
    changes = (
        edit(TRUTH, r"ISIC_0000001,0.0,1.0", "ISIC_0000001,0.0,0.0"),
        remove("ISIC_2019_Training_Input/ISIC_0000002.jpg"),
    )
    report = run("isic2019", tmp_path, *changes, on_error="skip")
    assert len(report.store) == 46
    places = {entry.place: entry.reason for entry in report.left_out}
    assert places["ISIC_2019_Training_GroundTruth.csv, line 3 (ISIC_0000001)"] == NO_HOT
    assert places["ISIC_2019_Training_GroundTruth.csv, line 4 (ISIC_0000002)"] == ABSENT


def test_the_folder_above_is_offered_where_the_table_lies_there(tmp_path: Path) -> None:
    root = LAYOUTS["ham10000"](tmp_path / "set")
    with pytest.raises(StoreError, match=f"it lies in the folder above: --images {re.escape(str(root))}"):
        SOURCES["ham10000"].list_images(root / "HAM10000_images_part_1", None, "fail")


@pytest.mark.parametrize("table", [TRUTH, METADATA])
def test_a_table_behind_a_link_out_of_the_folder_is_not_read(tmp_path: Path, table: str) -> None:
    """Nor a table that is joined to it: whoever hands the folder over may point at any file of the reader's."""

    def elsewhere(root: Path) -> None:
        (root / table).rename(tmp_path / "secret.csv")
        (root / table).symlink_to(tmp_path / "secret.csv")

    with pytest.raises(
        StoreError, match=rf"1 of 1 files lie outside .*set, first {table} \(.*secret\.csv\).*--outside allow"
    ) as refused:
        run("isic2019", tmp_path, elsewhere)
    assert "MEL" not in str(refused.value) and not (tmp_path / "store").exists()
    elsewhere_allowed = import_published(
        "isic2019", tmp_path / "set", ImportOptions(size=16, out=tmp_path / "store", outside="allow")
    )
    assert len(elsewhere_allowed.store) > 0
