"""MedMNIST's files of arrays: their own splits, and what is no such file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedray.data import ImportOptions, StoreError, import_medmnist
from fedray.data.importing.medmnist import list_medmnist
from fedray.data.importing.splits import LEFT_OUT_VALIDATION

COUNTS = {"train": 24, "val": 12, "test": 12}


def arrays(picture: tuple[int, ...] = (28, 28, 3), labels: int = 1, num_classes: int = 3) -> dict[str, Any]:
    """What MedMNIST writes: SPLIT_images uint8 [N, ...] and SPLIT_labels [N, 1]."""
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for split, count in COUNTS.items():
        made[f"{split}_images"] = rng.integers(0, 256, (count, *picture), dtype=np.uint8)
        made[f"{split}_labels"] = (np.arange(count * labels) % num_classes).reshape(count, labels).astype(np.uint8)
    return made


def save(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> Path:
    file = folder / "pathmnist.npz"
    np.savez_compressed(file, **{k: v for k, v in (arrays(**options) | (changes or {})).items() if v is not None})
    return file


@pytest.mark.parametrize("picture", [(28, 28), (28, 28, 3), (64, 64, 3)])
@pytest.mark.parametrize("save_as", [np.savez, np.savez_compressed])
def test_its_splits_are_kept_and_validation_joins_train(tmp_path: Path, picture: tuple[int, ...], save_as: Any) -> None:
    made = arrays(picture)
    save_as(tmp_path / "set.npz", **made)
    edge = picture[0] - picture[0] % 8  # a store's tiles are a multiple of 8
    report = import_medmnist(tmp_path / "set.npz", ImportOptions(size=edge, out=tmp_path / "store", names="plain"))
    store = report.store
    assert (len(store.indices("train")), len(store.indices("test"))) == (36, 12)
    assert store.label_names == ("0", "1", "2")
    assert store.sources([0, 24, 36]) == ["train/0", "val/0", "test/0"]
    assert np.array_equal(store.labels, np.concatenate([made[f"{s}_labels"][:, 0] for s in COUNTS]))
    if edge == picture[0]:
        expected = np.concatenate([made[f"{split}_images"] for split in COUNTS])
        np.testing.assert_array_equal(store.tiles(slice(None)), expected)
    assert "the 12 pictures of set.npz's validation split joined train" in report.notes[0]


def test_the_validation_split_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    file = save(tmp_path)
    assert [image.split for image in list_medmnist(file, "test").images].count("test") == 24
    listing = list_medmnist(file, "leave-out")
    assert len(listing.images) == 36 and "were left out" in listing.notes[0]
    assert [entry.reason for entry in listing.left_out] == [LEFT_OUT_VALIDATION] * 12
    options = ImportOptions(size=24, out=tmp_path / "store", val="leave-out", labels="0=fat,1=debris,2=", names="plain")
    report = import_medmnist(file, options)
    assert report.store.label_names == ("debris", "fat") and len(report.store) == 24
    assert report.store.sources([0, 1, 2]) == ["train/0", "train/1", "train/3"]


def test_labels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    report = import_medmnist(save(tmp_path, num_classes=11), ImportOptions(size=16, out=tmp_path / "store"))
    assert report.store.label_names == tuple(map(str, range(11)))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"labels": 14}, r"has 14 labels a picture \(train_labels is \[24, 14\]\), but a tile has one; choose"),
        ({}, {"picture": (28, 28, 28)}, r"holds volumes: train_images must be .*, but is uint8 \[24, 28, 28, 28\]"),
        ({}, {"picture": (28, 28, 4)}, "holds volumes"),
        ({"val_images": np.zeros((12, 28, 28, 3))}, {}, "val_images must be uint8 .*, but is float64"),
        ({"test_images": np.zeros((11, 28, 28), np.uint8)}, {}, "is damaged: 11 test_images, but 12 test_labels"),
        ({"test_labels": np.zeros((12, 1))}, {}, r"test_labels must be whole numbers \[N, 1\], but are float64"),
        ({"test_labels": np.array([["a"]] * 12)}, {}, "must be whole numbers"),
        ({"test_labels": np.array([[None]] * 12)}, {}, "test_labels must be plain numbers, picture after picture"),
        ({"val_labels": None, "other": np.zeros(1)}, {}, r"it must hold val_labels, but holds 'other', 'test_images'"),
    ],
)
def test_what_is_no_file_of_medmnist(tmp_path: Path, changes: Any, options: Any, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        list_medmnist(save(tmp_path, changes, **options))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 damaged"])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "damaged.npz").write_bytes(content)
    with pytest.raises(StoreError, match=r"cannot read the MedMNIST file .*damaged\.npz: "):
        list_medmnist(tmp_path / "damaged.npz")
    with pytest.raises(StoreError, match=r"cannot read the MedMNIST file .*No such file"):
        list_medmnist(tmp_path / "absent.npz")


def test_a_file_with_damaged_pictures(tmp_path: Path) -> None:
    file = save(tmp_path)
    content = bytearray(file.read_bytes())
    content[3000:3400] = bytes(400)
    file.write_bytes(content)
    with pytest.raises(StoreError, match="cannot read the MedMNIST file"):
        import_medmnist(file, ImportOptions(size=16, out=tmp_path / "store"))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_file_that_ends_early(tmp_path: Path) -> None:
    file = tmp_path / "short.npz"
    np.savez(file, **arrays())
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"cannot read the MedMNIST file"):
        list_medmnist(file)
