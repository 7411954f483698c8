"""Folders of a microsatellite status, under all names that archives and their copies have; patients in tiles' names."""

import shutil
from pathlib import Path

import pytest

from fedray.data import ImportOptions, StoreError, import_published
from fedray.data.published.tcga_crc_dx import NO_PATIENT, OTHER_COHORT, OUTSIDE, TCGA_CRC_DX
from tests.support.published import draw, tcga_crc_dx

COORDINATES = "TCGA-{site}-{patient}-01Z-00-DX1.8834C952-14E3-4491-8156-52FC917BB014_({x},{y}).jpg"
OF_2019 = "blk-{id}-TCGA-{site}-{patient}-01Z-00-DX1.png"
NAMES = {
    "the archives of 2019, each in a folder of its name": (
        ["CRC_DX_TRAIN_MSIMUT/MSIMUT", "CRC_DX_TRAIN_MSS/MSS", "CRC_DX_TEST_MSIMUT/MSIMUT", "CRC_DX_TEST_MSS/MSS"],
        OF_2019,
    ),
    "and by split": (
        ["CRC_DX_TRAIN/MSIMUT", "CRC_DX_TRAIN/MSS", "CRC_DX_TEST/MSIMUT", "CRC_DX_TEST/MSS"],
        OF_2019,
    ),
    "without a folder inside": (
        ["CRC_DX_TRAIN_MSIMUT", "CRC_DX_TRAIN_MSS", "CRC_DX_TEST_MSIMUT", "CRC_DX_TEST_MSS"],
        OF_2019,
    ),
    "the archives of 2020": (["TRAIN/MSIH", "TRAIN/nonMSIH", "TEST/MSIH", "TEST/nonMSIH"], COORDINATES),
    "in lower case, below folders that name the question": (
        ["kather_msi/train_test/train/msi-h", "kather_msi/train_test/train/non-msi-h",
         "kather_msi/train_test/test/msi-h", "kather_msi/train_test/test/non-msi-h"],
        COORDINATES,
    ),
    "the two statuses in one name": (
        ["msi_vs_mss/training/MSI", "msi_vs_mss/training/MSS", "msi_vs_mss/testing/MSI", "msi_vs_mss/testing/MSS"],
        OF_2019,
    ),
}  # fmt: skip


def import_it(root: Path, **options: object):  # type: ignore[no-untyped-def]
    chosen = {"size": 16, "out": root.parent / "store", "names": "plain", **options}
    return import_published("tcga-crc-dx", root, ImportOptions(**chosen))  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", NAMES)
def test_all_names_mean_the_same(layout: str, tmp_path: Path) -> None:
    folders, name = NAMES[layout]
    listing = TCGA_CRC_DX.list_images(tcga_crc_dx(tmp_path / "set", folders, name), None, "fail")
    expected = {
        (folder, label, split)
        for folder, label, split in zip(
            folders, ("MSI-high", "MSS") * 2, ("train", "train", "test", "test"), strict=True
        )
    }
    assert {(i.source.rpartition("/")[0], i.label, i.split) for i in listing.images} == expected
    assert len(listing.images) == 24 and listing.left_out == ()
    assert {image.group for image in listing.images} == {f"TCGA-AA-{n}0T6" for n in range(4)} | {
        f"TCGA-5M-{n}1T6" for n in range(4)
    }
    assert sorted(listing.notes) == sorted(f"found {f}: {split}, {label}, 6 tiles" for f, label, split in expected)


def test_without_a_split_whole_patients_are_split_here(tmp_path: Path) -> None:
    """As the most copied archive of JPEG tiles."""
    report = import_it(tcga_crc_dx(tmp_path / "set", ["MSIMUT_JPEG", "MSS_JPEG"]), test_share=0.5)
    store = report.store
    for split in ("train", "test"):
        assert sorted(store.labels[store.indices(split)].tolist()) == [0, 0, 0, 1, 1, 1]
    assert report.notes[-1].startswith("no published split of labelled pictures is here")


def test_one_split_alone_is_split_here(tmp_path: Path) -> None:
    report = import_it(tcga_crc_dx(tmp_path / "set", ["TRAIN/MSIH", "TRAIN/nonMSIH"], COORDINATES), test_share=0.5)
    assert len(report.store.indices("test")) == 6


def test_patients_in_both_splits_are_counted_and_taken_out_on_request(tmp_path: Path) -> None:
    root = tcga_crc_dx(tmp_path / "set")
    for file in (root / "CRC_DX_TEST_MSS").rglob("*AA-30T6*"):
        file.rename(file.with_name(file.name.replace("30T6", "10T6")))
    with pytest.raises(
        StoreError, match=r"the group 'TCGA-AA-10T6' is in both splits in TCGA-CRC-DX \(3 training and 3"
    ):
        import_it(root)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    report = import_it(root, overlap="leave-out")
    assert (len(report.store.indices("train")), len(report.store.indices("test"))) == (9, 12)


def test_other_cohorts_and_other_pictures_are_left_out_by_reason(tmp_path: Path) -> None:
    root = tcga_crc_dx(tmp_path / "set")
    draw(root / "STAD_TRAIN_MSS" / "MSS" / "blk-A-TCGA-BR-4256-01Z-00-DX1.png", "stomach")
    draw(root / "CRC_KR_TRAIN_MSS" / "MSS" / "blk-A-TCGA-AA-9999-01A-01-TS1.png", "frozen")
    draw(root / "overview.png", "overview")
    listing = TCGA_CRC_DX.list_images(root, None, "fail")
    assert sorted(entry.reason for entry in listing.left_out) == sorted([*OTHER_COHORT.values(), OUTSIDE])
    assert len(listing.images) == 24


def test_tiles_without_a_patient_are_refused_or_left_out(tmp_path: Path) -> None:
    root = tcga_crc_dx(tmp_path / "set")
    draw(root / "CRC_DX_TRAIN_MSS" / "MSS" / "MSS_17.jpg", "renamed")
    with pytest.raises(
        StoreError, match=r"1 tiles in .* have no patient of TCGA in their names .* first .*MSS_17\.jpg"
    ):
        import_it(root)
    assert not (tmp_path / "store").exists()
    report = import_it(root, on_error="skip")
    assert len(report.store) == 24 and [entry.reason for entry in report.left_out] == [NO_PATIENT]


def test_patients_of_both_statuses_are_named(tmp_path: Path) -> None:
    root = tcga_crc_dx(tmp_path / "set")
    for file in (root / "CRC_DX_TRAIN_MSS").rglob("*AA-10T6*"):
        file.rename(file.with_name(file.name.replace("10T6", "00T6")))
    notes = TCGA_CRC_DX.list_images(root, None, "fail").notes
    assert any(note.startswith("1 patients, such as TCGA-AA-00T6, have tiles of both statuses") for note in notes)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["ADI", "TUM"], r"holds no tiles in folders of a microsatellite status, MSIMUT .* \(left out: 12 x a pi"),
        (["TRAIN/MSIH", "TEST/MSIH"], "holds tiles of MSI-high alone, in folders named MSIH; unpack the archive of"),
        (["TRAIN/MSIH", "TRAIN/nonMSIH", "TEST/nonMSIH"], "holds no test tiles of MSI-high; unpack their archive"),
        (["TRAIN/MSIMUT", "TRAIN/MSS", "TEST/MSIH", "TEST/MSS"],
         "folders of MSI-high under two names, MSI(H and MSIMUT|MUT and MSIH), as two archives have them"),
        (["TRAIN_MSS/MSIMUT", "TRAIN_MSS/MSS"], r"in doubt which status the tiles in .*TRAIN_MSS/MSIMUT have: .* MSS"),
        (["TRAIN/TEST/MSS", "TRAIN/MSIMUT"], "in doubt which split .* TRAIN and TEST"),
        (["TRAIN/MSIMUT", "TRAIN/MSS", "MSS"], "holds 6 tiles in folders that name no split, first MSS/"),
        (["VAL/MSIMUT", "VAL/MSS", "TRAIN/MSIMUT", "TRAIN/MSS"], "is a validation split, .* --val train or --val test"),
    ],
)  # fmt: skip
def test_each_doubt_is_one_clear_error(folders: list[str], message: str, tmp_path: Path) -> None:
    root = tcga_crc_dx(tmp_path / "set", folders)
    with pytest.raises(StoreError, match=message) as refused:
        import_it(root)
    assert "\n" not in str(refused.value) and [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_second_version_of_the_tiles_is_refused(tmp_path: Path) -> None:
    """Normalised and not: other pixels, but the same tiles."""
    root = tcga_crc_dx(tmp_path / "set")
    shutil.copytree(root / "CRC_DX_TRAIN_MSS", root / "NORM_CRC_DX_TRAIN_MSS")
    with pytest.raises(
        StoreError, match=r"6 tiles lie in two folders of .* under one name, such as .*normalised and not"
    ):
        import_it(root)
