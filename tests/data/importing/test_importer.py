from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.data import ImportOptions, StoreError, import_csv, import_folder
from tests.support.small import WriteImages


def test_a_folder_becomes_a_store(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"a": 10, "b": 5})
    seen: list[tuple[int, int]] = []
    options = ImportOptions(size=16, out=tmp_path / "store", names="plain")
    report = import_folder(folder, options, lambda done, total: seen.append((done, total)))
    store = report.store
    assert report.skipped == () and seen[-1] == (15, 15)
    assert (store.label_names, store.domain_names, store.source) == (("a", "b"), ("default",), "images")
    assert np.bincount(store.labels[store.indices("test")]).tolist() == [2, 1]
    assert store.sources([14]) == ["b/4.png"] and len(store.group_names) == 15
    again = import_folder(folder, ImportOptions(size=16, out=tmp_path / "again", names="plain"))
    assert again.store.fingerprint == store.fingerprint
    other = import_folder(folder, ImportOptions(size=16, out=tmp_path / "other", seed=1, names="plain"))
    assert other.store.fingerprint != store.fingerprint


def test_a_csv_file_becomes_a_store_with_domains_and_groups(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"x": 8})
    rows = [f"x/{i}.png,{'ab'[i % 2]},scanner {i // 4},patient {i // 2}" for i in range(8)]
    (folder / "list.csv").write_text("\n".join(["image,label,domain,group", *rows]))
    options = ImportOptions(size=16, out=tmp_path / "store", test_share=0.25, names="plain")
    store = import_csv(folder / "list.csv", options).store
    assert store.domain_names == ("scanner 0", "scanner 1")
    assert store.domains.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert store.group_names == tuple(f"patient {i}" for i in range(4))
    assert len(store.indices("test")) == 2 and np.ptp(store.groups[store.indices("test")]) == 0


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train/Tumour": 2, "test/tumour": 2}, r"'Tumour' and 'tumour' differ by no more than case"),
        ({"nan": 2, "a": 2}, r"2 images have the label 'nan', which often stands for a missing one"),
        ({"train/a": 2, "test/b": 2}, r"label 'a' must have images in train and in test, but has none in test"),
        ({"a": 5, "b": 1}, r"label 'b' must have at least 2 images.*but has 1.*--labels b="),
    ],
)
def test_labels_of_folders_are_settled_before_an_image_is_decoded(
    write_images: WriteImages, tmp_path: Path, counts: dict[str, int], message: str
) -> None:
    folder = write_images(counts)
    for image in folder.rglob("*.png"):
        image.write_text("no image")
    with pytest.raises(StoreError, match=message):
        import_folder(folder, ImportOptions(size=16, out=tmp_path / "store"))


def test_a_table_names_the_clients(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"x": 4})
    rows = [f"x/{i}.png,{'ab'[i % 2]},{client},{'train' if i < 2 else 'test'}" for i, client in enumerate("NNO")]
    (folder / "list.csv").write_text("\n".join(["image,label,client,split", *rows, "x/3.png,b,,test"]))
    store = import_csv(folder / "list.csv", ImportOptions(size=16, out=tmp_path / "store")).store
    assert store.client_names == ("N", "O") and store.clients.tolist() == [0, 0, 1, -1]
    by_folders = write_images({f"{client}/{label}": 2 for client in "NO" for label in "ab"}, root="levels")
    options = ImportOptions(size=16, out=tmp_path / "by-folders")
    store = import_folder(by_folders, options, levels=("client", "label")).store
    assert [store.client_names[code] for code in store.clients] == ["N"] * 4 + ["O"] * 4


def test_an_image_that_cannot_be_decoded_ends_the_import(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"a": 5})
    (folder / "a" / "3.png").write_text("no image")
    with pytest.raises(StoreError, match=r"a/3\.png: .*--on-error skip"):
        import_folder(folder, ImportOptions(size=16, out=tmp_path / "store"))
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_skipped_images_are_named(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"a": 6, "b": 6})
    (folder / "a" / "3.png").write_text("no image")
    report = import_folder(folder, ImportOptions(size=16, out=tmp_path / "store", on_error="skip"))
    assert len(report.store) == 11 and len(report.skipped) == 1 and "a/3.png" in report.skipped[0]


def test_a_label_that_is_skipped_altogether_is_an_error(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"train/a": 2, "test/a": 1, "train/b": 2, "test/b": 1})
    (folder / "test" / "b" / "0.png").write_text("no image")
    with pytest.raises(StoreError, match=r"label 'b' .* has none in test .*after 1 images were skipped"):
        import_folder(folder, ImportOptions(size=16, out=tmp_path / "store", on_error="skip"))
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize(
    "wrong",
    [{"size": 8}, {"size": 50}, {"test_share": 1.0}, {"on_error": "ignore"}, {"names": "all"}, {"outside": "ask"}],
)
def test_wrong_options(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(StoreError, match=f"{next(iter(wrong))} must be .* but got"):
        ImportOptions(**{"size": 16, "out": tmp_path, **wrong})  # type: ignore[arg-type]


def test_the_colorectal_tiles(colorectal: Path, tmp_path: Path) -> None:
    options = ImportOptions(size=64, out=tmp_path / "store", names="plain")
    report = import_csv(colorectal / "metadata.csv", options)
    # Of 72,200 pairs of a training and a test tile, in eight positions each, none is taken for a copy.
    assert report.notes == ()
    store = report.store
    assert store.label_names == ("AC", "H", "T")
    assert store.domain_names == ("stain-0", "stain-1", "stain-2")
    assert np.bincount(store.labels[store.indices("train")]).tolist() == [160, 160, 60]
    assert np.bincount(store.labels[store.indices("test")]).tolist() == [80, 80, 30]
    with Image.open(colorectal / store.sources([0])[0]) as image:
        expected = image.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(store.tiles([0])[0], np.asarray(expected))
