"""Imports of published data sets, their own layouts rebuilt in small."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.data import (
    ImportOptions,
    StoreError,
    TableOptions,
    TileStore,
    import_csv,
    import_folder,
    import_split_folders,
)
from fedray.data.importing.rows import NO_HOT
from fedray.data.importing.tables import SAME_BYTES, WITHOUT_ROW


def draw(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)).save(file)


def split_of_groups(store: TileStore) -> dict[str, set[str]]:
    """Return the splits that each group's tiles are in."""
    splits: dict[str, set[str]] = {}
    for group, split in zip(store.groups, store.splits, strict=True):
        splits.setdefault(store.group_names[group], set()).add(str(split))
    return splits


def test_ham10000(tmp_path: Path) -> None:
    """Pictures in two folders, which Kaggle's archive holds twice; image ids without a suffix; lesions with several."""
    root, rows = tmp_path / "HAM10000", ["lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"]
    for i in range(24):
        name = f"ISIC_{24306 + i:07d}"
        part = f"HAM10000_images_part_{1 + i // 12}"
        for folder in (part, part.lower()):
            draw(root / folder / f"{name}.jpg", seed=i)
        dx = ("nv", "mel", "bkl")[i % 3]
        rows.append(
            f"HAM_{i // 6:07d}-{dx},{name},{dx},histo,{40 + i}.0,male,back,{('vidir_modern', 'rosendahl')[i % 2]}"
        )
    draw(root / "ISIC2018_Task3_Test_Images" / "ISIC_0034524.jpg", seed=99)
    (root / "HAM10000_metadata").write_text("\n".join(rows))
    (root / "hmnist_28_28_RGB.csv").write_text("pixel0000,label\n1,2\n")
    table = TableOptions(columns="image=image_id,label=dx,group=lesion_id,domain=dataset", suffix=".jpg")
    options = ImportOptions(size=16, out=tmp_path / "store", names="plain")
    report = import_csv(root / "HAM10000_metadata", options, table=table)
    store = report.store
    assert len(store) == 24 and store.label_names == ("bkl", "mel", "nv")
    assert store.domain_names == ("rosendahl", "vidir_modern")
    assert len(store.group_names) == 12 and all(len(splits) == 1 for splits in split_of_groups(store).values())
    reasons = [entry.reason for entry in report.left_out]
    assert (reasons.count(SAME_BYTES), reasons.count(WITHOUT_ROW), len(reasons)) == (24, 1, 26)
    assert report.notes == ("columns of HAM10000_metadata that were not read: dx_type, age, sex, localization",)


def test_ham10000_without_the_lesion_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\n")
    table = TableOptions(columns="image=image_id,label=dx", suffix=".jpg")
    with pytest.raises(StoreError, match=r"not read, 'lesion_id'; say what each is, such as --columns group=lesion_id"):
        import_csv(tmp_path / "metadata.csv", ImportOptions(size=16, out=tmp_path / "store"), table=table)


@pytest.fixture
def isic_2019(tmp_path: Path) -> Path:
    """One-hot labels in one table, the lesions in another, some rows without a lesion."""
    root = tmp_path / "isic"
    labels = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    truth, metadata = [",".join(["image", *labels])], ["image,age_approx,anatom_site_general,lesion_id,sex"]
    for i in range(24):
        name = f"ISIC_{i:07d}" + ("_downsampled" if i % 5 == 0 else "")
        draw(root / "ISIC_2019_Training_Input" / "ISIC_2019_Training_Input" / f"{name}.jpg", seed=i)
        truth.append(",".join([name, *("1.0" if label == i % 4 else "0.0" for label in range(9))]))
        metadata.append(f"{name},55.0,anterior torso,{f'MSK4_{i // 8}{i % 4}' if i % 7 else ''},female")
    (root / "ISIC_2019_Training_GroundTruth.csv").write_text("\n".join(truth))
    (root / "ISIC_2019_Training_Metadata.csv").write_text("\n".join(metadata))
    return root


def test_isic_2019(isic_2019: Path, tmp_path: Path) -> None:
    options = ImportOptions(size=16, out=tmp_path / "store")
    table = TableOptions(
        columns="group=lesion_id",
        one_hot="MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
        join=isic_2019 / "ISIC_2019_Training_Metadata.csv",
        suffix=".jpg",
    )
    report = import_csv(isic_2019 / "ISIC_2019_Training_GroundTruth.csv", options, table=table)
    assert report.store.label_names == ("AK", "BCC", "MEL", "NV") and len(report.store) == 24
    assert all(len(splits) == 1 for splits in split_of_groups(report.store).values())
    assert report.left_out == ()
    assert "4 of 24 images have no group: each is a group of its own" in report.notes
    assert "one-hot columns that no image has a 1 in: BKL, DF, VASC, SCC, UNK" in report.notes


def test_isic_2019_with_rows_that_have_not_one_label(isic_2019: Path, tmp_path: Path) -> None:
    truth = isic_2019 / "ISIC_2019_Training_GroundTruth.csv"
    truth.write_text(truth.read_text().replace("_downsampled,1.0", "_downsampled,0.0"))
    table = TableOptions(one_hot="MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK", suffix=".jpg")
    with pytest.raises(
        StoreError, match=r"2 x a row with 0 in every one-hot column, first: .*ISIC_0000000_downsampled"
    ):
        import_csv(truth, ImportOptions(size=16, out=tmp_path / "store"), table=table)
    report = import_csv(truth, ImportOptions(size=16, out=tmp_path / "store", on_error="skip"), table=table)
    assert len(report.store) == 22 and [entry.reason for entry in report.left_out].count(NO_HOT) == 2


def test_nct_crc(tmp_path: Path) -> None:
    """Nine tissues, in one archive to train and another to test, as TIFF."""
    tissues = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
    root = tmp_path / "nct"
    for folder, letters in (("NCT-CRC-HE-100K", "AB"), ("CRC-VAL-HE-7K", "C")):
        for number, tissue in enumerate(tissues):
            for letter in letters:
                draw(root / folder / tissue / f"{tissue}-TCGA-{letter}.tif", seed=number * 100 + ord(letter))
    (root / "NCT-CRC-HE-100K.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(StoreError, match=r"'CRC-VAL-HE-7K' in .* is a label or a split; .*--train DIR --test DIR"):
        import_folder(root, ImportOptions(size=16, out=tmp_path / "store"))
    options = ImportOptions(size=16, out=tmp_path / "store")
    store = import_split_folders(root / "NCT-CRC-HE-100K", root / "CRC-VAL-HE-7K", options).store
    assert store.label_names == tissues
    assert (len(store.indices("train")), len(store.indices("test"))) == (18, 9)


def test_lc25000(tmp_path: Path) -> None:
    """The labels are one level below two organs; whether they are patients cannot be seen, so it is asked."""
    root = tmp_path / "lung_colon_image_set"
    for number, label in enumerate(("lung/lung_n", "lung/lung_aca", "colon/colon_n", "colon/colon_aca")):
        for i in range(2):
            draw(root / label / f"{i}.jpeg", seed=10 * number + i)
    with pytest.raises(StoreError, match=r"which folders are the labels: all images .* 'colon/colon_aca'.*--domains"):
        import_folder(root, ImportOptions(size=16, out=tmp_path / "store"))
    options = ImportOptions(size=16, out=tmp_path / "labels")
    store = import_folder(root, options, levels=("domain", "label")).store
    assert store.label_names == ("colon_aca", "colon_n", "lung_aca", "lung_n")
