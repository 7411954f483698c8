"""Groups that given splits put on both sides: refused with the counts, or their training images taken out."""

from pathlib import Path

import pytest

from fedray.data import ImportOptions, StoreError, import_csv
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.importing.overlap import IN_TEST_TOO, leave_out_overlap, refuse_overlap
from tests.support.published import draw


def listing(*images: tuple[str, str | None]) -> Listing:
    """Images 0, 1, ... of a group and a split each."""
    return Listing(
        tuple(ListedImage(Path(f"{i}.png"), f"{i}.png", "a", group=g, split=s) for i, (g, s) in enumerate(images))
    )


@pytest.mark.parametrize(
    "images",
    [
        [("p", "train"), ("q", "test")],
        [("", "train"), ("", "test")],  # without a group each is its own
        [("p", None), ("p", None)],  # the import splits whole groups
        [("p", "train"), ("p", "train"), ("q", "test"), ("", "test")],
    ],
)
def test_what_does_not_overlap_is_passed_on(images: list[tuple[str, str | None]]) -> None:
    found = listing(*images)
    refuse_overlap(found, "photos", "mend it")
    assert leave_out_overlap(found) is found


def test_training_images_of_groups_in_test_are_taken_out() -> None:
    found = listing(("p", "train"), ("p", "test"), ("q", "train"), ("r", "train"), ("r", "train"), ("r", "test"))
    message = "the group 'p' and 1 more are in both splits in photos (3 training and 2 test images), but a patient"
    with pytest.raises(StoreError) as refused:
        refuse_overlap(found, "photos", "mend it")
    assert str(refused.value).startswith(message) and str(refused.value).endswith("; mend it")
    left = leave_out_overlap(found)
    assert [image.source for image in left.images] == ["1.png", "2.png", "5.png"]
    assert [(e.place, e.reason) for e in left.left_out] == [(f"{i}.png", IN_TEST_TOO) for i in (0, 3, 4)]
    assert left.notes == (
        "2 of the groups, such as 'p', are in both splits as given (3 training and 2 test images): those training "
        "images were left out",
    )
    refuse_overlap(left, "photos", "mend it")


def test_the_option_mends_what_the_message_refuses(tmp_path: Path) -> None:
    rows = ["image,label,group,split"]
    for i in range(8):
        draw(tmp_path / f"{i}.png", i)
        rows.append(f"{i}.png,{'ab'[i % 2]},p{i // 2},{'train' if i < 5 else 'test'}")  # p2 is in both
    (tmp_path / "photos.csv").write_text("\n".join(rows))
    with pytest.raises(
        StoreError, match=r"group 'p2' is in both splits in photos\.csv \(1 training and 1 test .*--overl"
    ):
        import_csv(tmp_path / "photos.csv", ImportOptions(size=16, out=tmp_path / "store"))
    options = ImportOptions(size=16, out=tmp_path / "store", overlap="leave-out", names="plain")
    report = import_csv(tmp_path / "photos.csv", options)
    assert sorted(report.store.sources(range(7))) == [f"{i}.png" for i in (0, 1, 2, 3, 5, 6, 7)]
    with pytest.raises(StoreError, match="overlap must be 'refuse' or 'leave-out', but got 'keep'"):
        ImportOptions(size=16, out=tmp_path / "store", overlap="keep")  # type: ignore[arg-type]
