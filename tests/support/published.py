"""Published data sets rebuilt in small: their folders, files' names, columns and quirks, with pictures of noise."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
HAM_COLUMNS = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
ISIC_LABELS = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
BCN_COLUMNS = "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split"


def draw(file: Path, seed: int | str) -> None:
    """Write a picture that no other seed has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(list(str(seed).encode()))
    Image.fromarray(random.integers(0, 256, (18, 24, 3), dtype=np.uint8)).save(file)


def write_rows(file: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    """Write a table; with tabs and quotes if it is named so, as the Dataverse does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [header.split(","), *([str(cell) for cell in row] for row in rows)]
    if file.suffix == ".tab":
        file.write_text("".join("\t".join(f'"{cell}"' for cell in line) + "\n" for line in lines))
    else:
        file.write_text("".join(",".join(line) + "\n" for line in lines))


def ham10000(root: Path) -> Path:
    """All that the Dataverse has: pictures in two parts, the test set of the ISIC 2018 challenge, a row too many."""
    rows, test = [], []
    for i in range(42):  # 21 lesions, three of each diagnosis, two pictures of each
        name, lesion = f"ISIC_{24306 + i:07d}", i // 2
        draw(root / f"HAM10000_images_part_{1 + i // 21}" / f"{name}.jpg", name)
        dataset = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")[lesion % 4]
        rows.append((f"HAM_{lesion:07d}", name, DIAGNOSES[lesion % 7], "histo", "80.0", "male", "scalp", dataset))
    for i in range(14):
        name = f"ISIC_{34524 + i:07d}"
        draw(root / "ISIC2018_Task3_Test_Images" / f"{name}.jpg", name)
        test.append((f"HAMTEST_{i:07d}", name, DIAGNOSES[i % 7], "histo", "50.0", "female", "back", "vidir_modern"))
    test.append(("", "ISIC_0035068", "nv", "", "", "", "", ""))
    write_rows(root / "HAM10000_metadata", HAM_COLUMNS, rows)
    write_rows(root / "ISIC2018_Task3_Test_GroundTruth.tab", HAM_COLUMNS, test)
    return root


def isic2019(root: Path) -> Path:
    """One-hot labels, lesions in a second table and in no test table, pictures that were made smaller, UNK."""
    truth, metadata, test_truth, test_metadata = [], [], [], []
    for i in range(32):  # 4 pictures of each label, of 3 laboratories and of nobody knows whom
        name = f"ISIC_{i:07d}" + ("_downsampled" if i % 5 == 0 else "")
        draw(root / "ISIC_2019_Training_Input" / f"{name}.jpg", name)
        truth.append((name, *_one_hot(i % 8)))
        lesion = (f"HAM_{i % 8:07d}", f"BCN_{i:07d}", f"MSK4_{i:07d}", "")[i // 8]
        metadata.append((name, "55.0", "anterior torso", lesion, "female"))
    for i in range(18):
        name = f"ISIC_{34321 + i:07d}"
        draw(root / "ISIC_2019_Test_Input" / f"{name}.jpg", name)
        test_truth.append((name, *_one_hot(i % 9), "1.0", "0.0"))
        test_metadata.append((name, "30.0", "head/neck", "male"))
    labels = ",".join(ISIC_LABELS)
    write_rows(root / "ISIC_2019_Training_GroundTruth.csv", f"image,{labels}", truth)
    write_rows(root / "ISIC_2019_Training_Metadata.csv", "image,age_approx,anatom_site_general,lesion_id,sex", metadata)
    write_rows(root / "ISIC_2019_Test_GroundTruth.csv", f"image,{labels},score_weight,validation_weight", test_truth)
    write_rows(root / "ISIC_2019_Test_Metadata.csv", "image,age_approx,anatom_site_general,sex", test_metadata)
    return root


def bcn20000(root: Path) -> Path:
    """Files named with their endings, in folders of the archives' names; a test table without labels."""
    rows, test = [], []
    for i in range(32):  # 16 lesions, two of each label, two pictures of each
        name, lesion = f"BCN_{i:010d}.jpg", i // 2
        draw(root / "BCN_20k_train" / "bcn_20k_train" / name, name)
        rows.append((name, "55.0", "anterior torso", ISIC_LABELS[lesion % 8], f"BCN_{lesion:07d}", "2012-05-16", "male",
                     "train"))  # fmt: skip
    for i in range(32, 40):
        name = f"BCN_{i:010d}.jpg"
        draw(root / "BCN_20k_test" / "bcn_20k_test" / name, name)
        test.append((name, "55.0", "head/neck", f"BCN_{i:07d}", "2014-01-01", "female", "test"))
    write_rows(root / "bcn_20k_train.csv", BCN_COLUMNS, rows)
    write_rows(root / "bcn_20k_test.csv", BCN_COLUMNS.replace("diagnosis,", ""), test)
    return root


def tcga_crc_dx(
    root: Path,
    folders: Sequence[str] = (
        "CRC_DX_TRAIN_MSIMUT/MSIMUT",
        "CRC_DX_TRAIN_MSS/MSS",
        "CRC_DX_TEST_MSIMUT/MSIMUT",
        "CRC_DX_TEST_MSS/MSS",
    ),
    name: str = "blk-{id}-TCGA-{site}-{patient}-01Z-00-DX1.png",
) -> Path:
    """Folders of the archives, each with two patients, and three tiles of each."""
    for number, folder in enumerate(folders):
        for patient in range(2):
            for tile in range(3):
                word = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number] + "YNNMCRNWWE" + "PQR"[tile] + "ST"[patient]
                site, code = ("AA", "5M")[patient], f"{number}{patient}T6"
                draw(root / folder / name.format(id=word, site=site, patient=code, x=tile, y=number), word)
    return root


def _one_hot(label: int) -> list[str]:
    return ["1.0" if at == label else "0.0" for at in range(9)]


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "tcga-crc-dx": tcga_crc_dx,
    "ham10000": ham10000,
    "isic2019": isic2019,
    "bcn20000": bcn20000,
}
"""A builder for each of ``SOURCES``."""
