"""Which patient is seen by which scanner, and what becomes of the pixels."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.data import ImportOptions, StoreError, import_csv, import_folder
from fedray.data.importing.dealt_scanners import deal_scanners, parse_scanners
from fedray.data.importing.images import ListedImage
from fedray.data.scanners import SCANNERS, render

NAMES = ("original", "warm-light", "blurred")


def images(counts: dict[tuple[str, str], int], num_patients: int = 0) -> list[ListedImage]:
    """So many pictures by split and label, of a patient each, or of so many patients in each split."""
    return [
        ListedImage(Path(f"{split}{label}{i}"), f"{split}{label}{i}", label, split=split,
                    group=f"{split}-p{i % num_patients}" if num_patients else "")
        for (split, label), count in counts.items()
        for i in range(count)
    ]  # fmt: skip


def test_pictures_are_dealt_evenly_by_label_and_split() -> None:
    listed = images({("train", "a"): 100, ("train", "b"): 31, ("test", "a"): 20, ("test", "b"): 9})
    dealt = deal_scanners(listed, NAMES, seed=0)
    counts = Counter((image.split, image.label, image.domain) for image in dealt)
    for split, label in {(image.split, image.label) for image in listed}:
        own = [counts[split, label, name] for name in NAMES]
        assert max(own) - min(own) <= 1
    assert [image.source for image in dealt] == [image.source for image in listed]
    assert dealt == deal_scanners(listed, NAMES, seed=0) != deal_scanners(listed, NAMES, seed=1)


def test_a_patient_is_seen_by_one_scanner_and_every_scanner_sees_some_in_both_splits() -> None:
    dealt = deal_scanners(images({("train", "a"): 60, ("train", "b"): 40, ("test", "a"): 15}, 5), NAMES, seed=3)
    assert len({(image.group, image.domain) for image in dealt}) == 10
    assert {(image.split, image.domain) for image in dealt} == {(s, n) for s in ("train", "test") for n in NAMES}


def test_slides_count_by_their_tiles() -> None:
    """One slide has as many tiles as three others: it is seen by one of two scanners, and they by the other."""
    listed = images({("train", "a"): 4, ("test", "a"): 2})
    dealt = deal_scanners(listed, NAMES[:2], seed=0, num_tiles=[30, 10, 10, 10, 5, 5])
    large, *small = (image.domain for image in dealt if image.split == "train")
    assert set(small) == set(NAMES[:2]) - {large}


def test_an_import_renders_the_tiles_of_each_scanner(write_images, tmp_path: Path) -> None:
    folder = write_images({"a": 12, "b": 12})
    plain, scanned = (
        import_folder(folder, ImportOptions(16, tmp_path / out, scanners=scanners)).store
        for out, scanners in (("plain", ""), ("scanned", "blurred, original,warm-light"))
    )
    assert plain.domain_names == ("default",) and scanned.domain_names == ("blurred", "original", "warm-light")
    assert scanned.source == f"{plain.source}, rendered as by blurred, original, warm-light"
    assert set(zip(scanned.splits, scanned.domains, strict=True)) == {
        (s, d) for s in ("train", "test") for d in range(3)
    }
    where = {source: i for i, source in enumerate(plain.sources(np.arange(24)))}
    for i, source in enumerate(scanned.sources(np.arange(24))):
        scanner = SCANNERS[scanned.domain_names[scanned.domains[i]]]
        (tile,) = plain.tiles([where[source]])
        np.testing.assert_array_equal(scanned.tiles([i])[0], render(tile, scanner))
    np.testing.assert_array_equal(plain.splits, scanned.splits)


def test_pictures_with_scanners_of_their_own_are_refused(write_images, tmp_path: Path) -> None:
    folder = write_images({"leica/a": 2, "leica/b": 2, "zeiss/a": 2, "zeiss/b": 2})
    with pytest.raises(StoreError, match=r"--scanners is for pictures of one scanner, .* 'leica', 'zeiss'; leave it"):
        import_folder(folder, ImportOptions(16, tmp_path / "s", scanners="original,blurred"), domains=True)
    assert not (tmp_path / "s").exists()


def test_fewer_patients_than_scanners_are_refused(write_images, tmp_path: Path) -> None:
    folder, rows = write_images({"x": 4}), []
    for i in range(4):
        Image.fromarray(np.full((20, 20, 3), 40 * i, np.uint8)).save(folder / "x" / f"{i}.png")
        rows.append(f"x/{i}.png,{'ab'[i % 2]},p{i // 2},{'train' if i < 2 else 'test'}")
    (folder / "t.csv").write_text("\n".join(["image,label,group,split", *rows]))
    with pytest.raises(StoreError, match=r"deals whole patients .*the train split has 1 for 2 scanners; name fewer"):
        import_csv(folder / "t.csv", ImportOptions(16, tmp_path / "s", scanners="original,blurred"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("original,blured", r"must be some of original, blurred, .*, but got 'blured'; did you mean 'blurred'\?"),
        ("blurred,original,blurred", "must name each scanner once, but 'blurred' stands there twice"),
    ],
)
def test_names_are_checked_before_anything_is_read(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        ImportOptions(16, tmp_path / "s", scanners=text)
    assert parse_scanners("") == () and parse_scanners("original, blurred,") == ("original", "blurred")
