import shlex
import unicodedata
from pathlib import Path

import pytest

from fedray.data import StoreError
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.importing.labels import SEVERAL_IN_ONE, settle_labels, sorted_names


def listing(*labels: str) -> Listing:
    return Listing(tuple(ListedImage(Path(f"{i}.png"), f"{i}.png", label) for i, label in enumerate(labels)))


@pytest.mark.parametrize("label", ["nan", "NaN", "NA", "n/a", "None", "null", "<NA>", "?", "-"])
def test_a_label_that_stands_for_a_missing_one_is_questioned(label: str) -> None:
    with pytest.raises(StoreError, match=r"2 images have the label .* often stands for a missing one") as refused:
        settle_labels(listing("a", label, label), {})
    assert f"--labels {shlex.quote(f'{label}=')} leaves them out" in str(refused.value)
    left = settle_labels(listing("a", label, label), {label: ""})
    assert [image.label for image in left.images] == ["a"]
    assert [entry.reason for entry in left.left_out] == [f"a picture of the label {label!r}, left out as asked"] * 2
    assert [image.label for image in settle_labels(listing("a", label), {label: label}).images] == ["a", label]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Nevus", "nevus"), ("NEVUS", "Nevus"), ("gland_a", "gland a"),
        ("Straße", "STRASSE"), ("Grade II", "Grade Ⅱ"),
        ("3", "3.0"),
    ],
)  # fmt: skip
def test_labels_that_look_alike_are_questioned(first: str, second: str) -> None:
    with pytest.raises(StoreError, match="differ by no more than case and punctuation"):
        settle_labels(listing(first, second), {})
    joined = settle_labels(listing(first, second), {second: first})
    assert [image.label for image in joined.images] == [first, first]
    apart = settle_labels(listing(first, second), {first: first, second: second})
    assert [image.label for image in apart.images] == [first, second]


def test_labels_that_differ_are_left_as_they_are_written() -> None:
    names = ["007", "7", "7.5", "grade 1", "grade 2", "Ki67<14%", "Ki67>14%", "a,b"]
    assert [image.label for image in settle_labels(listing(*names), {}).images] == names


@pytest.mark.parametrize("kind", ["domain", "client"])
def test_domains_and_clients_that_look_alike_are_questioned(kind: str) -> None:
    names = ("Site A", "site A")
    images = tuple(ListedImage(Path(f"{name}.png"), f"{name}.png", "a", **{kind: name}) for name in names)
    with pytest.raises(StoreError, match=f"the {kind}s 'Site A' and 'site A' differ by no more than case"):
        settle_labels(Listing(images), {})


def test_a_patient_spelt_in_two_ways_is_one() -> None:
    groups = ("P1", "p1", "p2", "", "P 2", "p 2")
    images = tuple(ListedImage(Path(f"{i}.png"), f"{i}.png", "a", group=group) for i, group in enumerate(groups))
    joined = settle_labels(Listing(images), {})
    assert [image.group for image in joined.images] == ["P1", "P1", "p2", "", "P 2", "P 2"]
    assert joined.notes[0].startswith("2 groups differ from another by case") and "'p1' and 'P1'" in joined.notes[0]
    assert settle_labels(Listing(images[2:4]), {}).notes == ()


@pytest.mark.parametrize("field", ["label", "domain", "client"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("lésion", unicodedata.normalize("NFD", "lésion")), ("gland a", "gland  a"), ("a b", "a\N{NO-BREAK SPACE}b")],
)
def test_names_that_nobody_can_tell_apart_are_one(field: str, first: str, second: str) -> None:
    images = tuple(
        ListedImage(Path(f"{i}.png"), f"{i}.png", **({"label": "a"} | {field: name}))
        for i, name in enumerate((first, second, "other"))
    )
    joined = settle_labels(Listing(images), {})
    assert [getattr(image, field) for image in joined.images] == [first, first, "other"]
    assert joined.notes[0].startswith(f"1 {field} differ") and ascii(second) in joined.notes[0]


@pytest.mark.parametrize(
    "label", ["Edema|Effusion", "Edema;Effusion", "Edema, Effusion", "Effusion / Edema", "Edema+Effusion"]
)
def test_several_labels_in_one_are_no_label(label: str) -> None:
    found = listing("Edema", "Effusion", label, "Hernia", f"Hernia|{label}|Other")
    with pytest.raises(StoreError, match=r"1 images have several labels in one, such as .*--on-error skip"):
        settle_labels(found, {})
    left = settle_labels(found, {}, on_error="skip")
    assert [image.label for image in left.images] == ["Edema", "Effusion", "Hernia", f"Hernia|{label}|Other"]
    assert [(entry.place, entry.reason) for entry in left.left_out] == [("2.png", SEVERAL_IN_ONE)]
    assert [image.label for image in settle_labels(found, {label: label}).images][2] == label


def test_a_renamed_label_must_exist() -> None:
    with pytest.raises(StoreError, match="--labels renames 'nv', but the labels are 'bcc', 'mel'"):
        settle_labels(listing("mel", "bcc"), {"nv": "nevus"})


def test_numbers_are_sorted_by_value() -> None:
    assert sorted_names(["10", "2", "1"]) == ["1", "2", "10"]
    assert sorted_names(["b", "10", "a", "2"]) == ["10", "2", "a", "b"]
