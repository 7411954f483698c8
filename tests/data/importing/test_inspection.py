"""What only the whole set shows: ranges that nobody uses, images that occur twice, traits that tell a label."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from fedray.data import ImportOptions, ImportReport, StoreError, import_csv, import_folder
from tests.support.dicoms import write_dicom
from tests.support.pictures import write_png

Noise = Callable[[], NDArray[Any]]


@pytest.fixture
def noise() -> Noise:
    """Pictures of 48 px that have detail, each another."""
    rng = np.random.default_rng(0)
    return lambda: rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ImportReport]:
    def run(**options: Any) -> ImportReport:
        return import_folder(
            tmp_path / "images",
            ImportOptions(**{"size": 32, "out": tmp_path / "store", "overwrite": True, "names": "plain"} | options),
        )

    return run


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """``save(picture, "LABEL/NAME", ...)``; options are Pillow's."""

    def save(picture: Any, name: str, **options: Any) -> Path:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, **options)
        return path

    return save


def deep(folder: Path, highest: int, bits_of: str = "png", **options: Any) -> None:
    """Write two labels of three 16-bit images with values up to ``highest``."""
    rng = np.random.default_rng(highest)
    for label in "ab":
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(3):
            values = rng.integers(0, highest, (48, 48), dtype=np.uint16, endpoint=True)
            values[0, 0] = highest
            if bits_of == "png":
                write_png(folder / label / f"{i}.png", values, **options)
            elif bits_of == "tif":
                tifffile.imwrite(folder / label / f"{i}.tif", values, metadata=None, **options)
            else:
                write_dicom(folder / label / f"{i}.dcm", values, **options)


@pytest.mark.parametrize("kind", ["png", "tif", "dcm"])
@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (1023, 10), (4095, 12), (16383, 14), (30_000, 15)])
def test_twelve_bits_in_sixteen_are_refused_with_the_range_and_right_with_the_bits(
    run: Callable[..., ImportReport], tmp_path: Path, kind: str, highest: int, bits: int
) -> None:
    deep(tmp_path / "images", highest, kind)
    with pytest.raises(StoreError, match=rf"6 images of 16 bits .* to {highest} only, .* too dark; .*--bits {bits}"):
        run()
    assert not (tmp_path / "store").exists()
    assert run(bits=bits).store.tiles([0]).mean() == pytest.approx(127 * highest / (2**bits - 1), abs=6)
    assert run(bits=16).store.tiles([0]).max() < 128


def test_bits_that_no_image_needs_are_said_to_change_nothing(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise
) -> None:
    for i in range(4):
        save(noise(), f"{'ab'[i % 2]}/{i}.png")
    assert any(note.startswith("--bits or --value-range changed nothing") for note in run(bits=12).notes)
    assert not any("changed nothing" in note for note in (*run().notes, *run(bits=8).notes))


def test_sixteen_bits_and_a_dark_image_among_bright_ones_are_taken(
    run: Callable[..., ImportReport], tmp_path: Path
) -> None:
    deep(tmp_path / "images", 60_000)
    write_png(tmp_path / "images" / "a" / "dark.png", np.full((48, 48), 900, np.uint16))
    assert run().store.tiles([0, 1, 2]).max() > 200


def test_each_domain_stands_for_itself(tmp_path: Path) -> None:
    deep(tmp_path / "one", 60_000)
    deep(tmp_path / "two", 4095)
    rows = [f"{d}/{x}/{i}.png,{x},{d}" for d in ("one", "two") for x in "ab" for i in range(3)]
    (tmp_path / "list.csv").write_text("\n".join(["image,label,domain", *rows]))
    with pytest.raises(StoreError, match=r"first two/a/0.png.* to 4095 only"):
        import_csv(tmp_path / "list.csv", ImportOptions(size=32, out=tmp_path / "store"))


def test_each_label_stands_for_itself(run: Callable[..., ImportReport], tmp_path: Path) -> None:
    deep(tmp_path / "images", 60_000)
    for i in range(3):
        values = np.random.default_rng(i).integers(0, 4096, (48, 48), dtype=np.uint16)
        write_png(tmp_path / "images" / "b" / f"{i}.png", values)
    with pytest.raises(StoreError, match=r"3 images of the label 'b' of 16 bits .* --bits 16 if they really are so"):
        run()
    assert len(run(bits=16).store) == 6


def test_masks_are_no_photographs(run: Callable[..., ImportReport], save: Callable[..., Path]) -> None:
    for i in range(3):
        for label in "ab":
            save(np.random.default_rng(i + 10 * (label == "b")).integers(0, 4, (48, 48), np.uint8), f"{label}/{i}.png")
    with pytest.raises(StoreError, match=r"6 images of 8 bits .* 0 to 3 only, though 0 to 255"):
        run()
    assert run(bits=2).store.tiles([0]).max() > 200


def test_tags_that_differ_from_image_to_image_are_no_range(run: Callable[..., ImportReport], tmp_path: Path) -> None:
    deep(tmp_path / "images", 4095, "tif", extratags=[(281, 3, 1, 4095, True)])
    assert run().store.tiles([0]).mean() > 100
    values = np.random.default_rng(1).integers(0, 1000, (48, 48), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "images/a/3.tif", values, metadata=None, extratags=[(281, 3, 1, int(values.max()), True)]
    )
    with pytest.raises(StoreError, match=r"2 different ranges \(0 to 4095 in .*; 0 to 1023 in a/3.tif\)"):
        run()
    assert len(run(bits=12).store) == 7


@pytest.mark.parametrize("name", ["copy.png", "copy.tif", "copy.bmp", "copy.webp", "copy.dcm", "copy"])
def test_the_same_pixels_are_found_in_any_format(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise, tmp_path: Path, name: str
) -> None:
    pictures = [noise() for _ in range(8)]
    for i, picture in enumerate(pictures):
        save(picture, f"{'ab'[i % 2]}/{i}.png")
    copy = tmp_path / "images" / "a" / name
    if name.endswith("dcm"):
        write_dicom(copy, pictures[0])
    else:
        Image.fromarray(pictures[0]).save(
            copy, **({"lossless": True} if "webp" in name else {}), format=None if "." in name else "PNG"
        )
    with pytest.raises(StoreError, match=rf"once: 1 \w.* \(a/0.png \[a, \w+\] = a/{name} .*--duplicates first"):
        run()
    assert not (tmp_path / "store").exists()
    report = run(duplicates="first")
    assert len(report.store) == 8
    assert [entry.place for entry in report.left_out] == [f"a/{name}"]
    assert "same pixels" in report.left_out[0].reason


def test_copies_in_both_splits_are_refused_and_the_one_in_test_is_kept(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise
) -> None:
    for split in ("train", "test"):
        for i in range(4):
            save(noise(), f"{split}/{'ab'[i % 2]}/{i}.png")
    leak = noise()
    save(leak, "train/a/leak.png")
    save(leak, "test/a/other.bmp")
    with pytest.raises(StoreError, match=r"1 in train and in test \(train/a/leak.png \[a, train\] = test/a/other.bmp"):
        run()
    report = run(duplicates="first")
    assert [entry.place for entry in report.left_out] == ["train/a/leak.png"]
    assert "test/a/other.bmp" in report.store.sources(report.store.indices("test"))


def test_one_image_under_two_labels_has_no_label(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise
) -> None:
    for i in range(6):
        save(noise(), f"{'ab'[i % 2]}/{i}.png")
    both = noise()
    save(both, "a/x.png")
    save(both, "b/y.tif")
    for duplicates in ("refuse", "first"):
        with pytest.raises(StoreError, match=r"1 under two labels \(a/x.png .*= b/y.tif .*which label is right"):
            run(duplicates=duplicates)


def test_many_pairs_are_counted_and_the_first_named(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise
) -> None:
    for i in range(30):
        for label in "ab":
            picture = noise()
            save(picture, f"{label}/{i}.png")
            save(picture, f"{label}/{i}-copy.png")
    with pytest.raises(StoreError) as error:
        run()
    assert "and 40 more" in str(error.value) and str(error.value).count(" = ") == 20


def test_near_copies_in_train_and_test_are_reported(
    run: Callable[..., ImportReport], save: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(0)

    def tissue() -> Image.Image:
        blobs = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        return blobs.resize((96, 96), Image.Resampling.BICUBIC)

    changes: dict[str, Callable[[Image.Image], Image.Image]] = {
        "flipped": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
        "transposed": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        "smaller": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
        "brighter": lambda image: image.point(lambda value: value * 0.8 + 40),
        "saved": lambda image: image,
    }
    for name, change in changes.items():
        original = tissue()
        save(np.asarray(original), f"train/a/{name}.png")
        save(np.asarray(change(original)), f"test/a/{name}.jpg", quality=60)
    for i in range(40):
        save(np.asarray(tissue()), f"{('train', 'test')[i % 2]}/b/{i}.png")
    note = next(note for note in run().notes if "look like a training image" in note)
    assert note.startswith("6 test images")
    for name in changes:
        assert f"train/a/{name}.png [a, train] = test/a/{name}.jpg [a, test]" in note


def test_empty_slide_is_not_called_a_copy(run: Callable[..., ImportReport], save: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for i in range(8):
            empty = rng.normal(240, 2, (48, 48, 3)).clip(0, 255).astype(np.uint8)
            save(empty, f"{split}/{'ab'[i % 2]}/{i}.png")
    assert not [note for note in run().notes if "look like" in note]


@pytest.mark.parametrize(
    ("trait", "in_a", "in_b"),
    [
        ("file format", {"name": "jpg", "quality": 100}, {"name": "png"}),
        ("colour", {"grey": True}, {}),
        ("colour profile", {"profile": True}, {}),
        ("sharpness", {"reduce": 24}, {}),
        ("size in pixels", {"size": 64}, {"size": 80}),
        ("coarseness of JPEG's quantisation", {"name": "jpg", "quality": 95}, {"name": "jpg", "quality": 60}),
    ],
)
def test_what_tells_a_label_without_looking_at_tissue_is_said(
    run: Callable[..., ImportReport], save: Callable[..., Path], trait: str, in_a: dict[str, Any], in_b: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()

    def write(label: str, index: int, change: dict[str, Any]) -> None:
        edge = change.get("size", 48)
        image = Image.fromarray(rng.integers(0, 256, (edge, edge, 3), dtype=np.uint8))
        if "grey" in change:
            image = image.convert("L")
        if "reduce" in change:
            small = image.resize((change["reduce"],) * 2, Image.Resampling.LANCZOS)
            image = small.resize((edge, edge), Image.Resampling.BICUBIC)
        options = {"quality": change["quality"]} if "quality" in change else {}
        options |= {"icc_profile": profile} if "profile" in change else {}
        save(np.asarray(image), f"{label}/{index}.{change.get('name', 'png')}", **options)

    for i in range(8):
        write("a", i, in_a)
        write("b", i, in_b)
    told = [note for note in run().notes if "tells a label" in note]
    assert len(told) == 1 and told[0].startswith(f"the {trait} tells a label") and "instead of the tissue" in told[0]
    # The same traits on both labels tell nothing.
    for i in range(8, 16):
        write("a", i, in_b)
        write("b", i, in_a)
    assert not [note for note in run().notes if "tells a label" in note]


def test_images_smaller_than_a_tile_and_images_enlarged_before_are_said(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise
) -> None:
    for i in range(4):
        for label in "ab":
            save(noise(), f"{label}/{i}.png")
    assert not [note for note in run(size=48).notes if "enlarged" in note]
    note = next(note for note in run(size=64).notes if "enlarged" in note)
    assert note.startswith("8 images are smaller than the tile's 64 px") and "4 of 'a', 4 of 'b'" in note
    for i in range(4):
        for label in "ab":
            save(np.asarray(Image.fromarray(noise()).resize((144, 144), Image.Resampling.BICUBIC)), f"{label}/{i}.png")
    note = next(note for note in run().notes if "no detail" in note)
    assert note.startswith("8 of 8 images have no detail at their own resolution")


def test_profiles_and_burnt_in_text_are_counted(
    run: Callable[..., ImportReport], save: Callable[..., Path], noise: Noise, tmp_path: Path
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for i in range(4):
        save(noise(), f"{'ab'[i % 2]}/{i}.png", icc_profile=profile)
    for i in range(2):
        write_dicom(tmp_path / "images" / "a" / f"{i}.dcm", noise(), BurnedInAnnotation="YES")
    notes = run().notes
    assert any(note.startswith("4 images (first ") and "was not applied" in note for note in notes)
    assert any(note.startswith("2 images (first ") and "burnt into the pixels" in note for note in notes)


def test_patients_of_dicom_files_are_groups(noise: Noise, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for i in range(12):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        write_dicom(folder / "ab"[i % 2] / f"{i}.dcm", noise(), PatientID=f"Jane Doe {i // 3}")
    options = ImportOptions(size=32, out=tmp_path / "store", test_share=0.5, names="plain")
    store = import_folder(folder, options).store
    assert len(store.group_names) == 4 and all(name.startswith("patient-") for name in store.group_names)
    assert not any("Doe" in name for name in store.group_names)
    for group in range(4):
        assert len({split for split in ("train", "test") if group in store.groups[store.indices(split)]}) == 1
    for i, split in enumerate(("train", "train", "test", "test")):
        (folder / split / "a").mkdir(parents=True, exist_ok=True)
        write_dicom(folder / split / "a" / f"{i}.dcm", noise(), PatientID="Jane Doe")
    for label in "ab":
        for file in (folder / label).iterdir():
            file.unlink()
        (folder / label).rmdir()
    with pytest.raises(StoreError, match=r"group 'patient-[0-9a-f]{16}' is in both splits"):
        import_folder(folder, ImportOptions(size=32, out=tmp_path / "other"))


@pytest.mark.parametrize("wrong", [{"bits": 0}, {"value_range": (1.0, 1.0)}, {"duplicates": "all"}])
def test_wrong_options(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match=f"{next(iter(wrong))} must be"):
        ImportOptions(**{"size": 16, "out": tmp_path, **wrong})
