"""What a table says: which column is what, which file a row means, and what rows are left out."""

import shlex
import unicodedata
from pathlib import Path

import pytest

from fedray.data import StoreError, TableOptions
from fedray.data.importing import contents, rows, tables
from fedray.data.importing.splits import LEFT_OUT_VALIDATION
from fedray.data.importing.tables import list_table
from tests.support.small import Touch


@pytest.fixture
def files(touch: Touch) -> Path:
    return touch(["x/0.png", "x/1.png", "x/2.png"])


def write(folder: Path, text: str, name: str = "list.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_with_every_column(files: Path, tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "\ufeffimage,label,domain,group,split\nx/0.png,a,s1,p1,Train\nx/1.png,a,,p2,TEST\nx/2.png,a,s2,,training\n",
    )
    listing = list_table(table, files)
    assert [(i.path, i.source, i.label, i.domain, i.group, i.split) for i in listing.images] == [
        (files / "x/0.png", "x/0.png", "a", "s1", "p1", "train"),
        (files / "x/1.png", "x/1.png", "a", "default", "p2", "test"),
        (files / "x/2.png", "x/2.png", "a", "s2", "", "train"),
    ]
    assert listing.left_out == ()
    assert listing.notes == ("1 of 3 images have no group: each is a group of its own",)


HEADER = "image,label,{}\nx/0.png,a,1\nx/1.png,a,2\n"


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("patient", "group"), ("Patient ID", "group"), ("patients", "group"), ("lesion_id", "group"),
        ("patient_nr", "group"), ("MRN", "group"), ("Fallnummer", "group"), ("case number", "group"),
        ("Group", "group"), ("slide-id", "group"), ("subject", "group"), ("grop", "group"), ("scanner", "domain"),
        ("Hospital", "domain"), ("client_id", "client"), ("fold", "split"), ("SPLIT", "split"), ("sites", "domain"),
    ],
)  # fmt: skip
def test_a_column_that_looks_like_a_known_one_is_never_passed_over(files: Path, column: str, role: str) -> None:
    table = write(files, HEADER.format(column))
    way = f"--columns {shlex.quote(f'{role}={column}')} .{role}: .*--ignore {shlex.quote(column)}"
    message = f"columns that are not read, '{column}'; .*such as {way}"
    with pytest.raises(StoreError, match=message):
        list_table(table)
    with pytest.raises(StoreError, match=message):
        list_table(table, options=TableOptions(columns="image=image"))
    ignored = list_table(table, options=TableOptions(ignore=column))
    assert ignored.notes == (f"columns of list.csv that were not read: {column}",)
    assert {image.group for image in ignored.images} == {""}


def test_a_patient_beside_a_lesion_is_asked_for(files: Path) -> None:
    table = write(files, "image,label,lesion_id,patient_id\nx/0.png,a,l1,p1\nx/1.png,a,l2,p1\n")
    with pytest.raises(StoreError, match=r"not read, 'patient_id'"):
        list_table(table, options=TableOptions(columns="group=lesion_id"))
    listing = list_table(table, options=TableOptions(columns="group=patient_id", ignore="lesion_id"))
    assert [image.group for image in listing.images] == ["p1", "p1"]


def test_other_columns_are_named_once_the_columns_were_chosen(files: Path) -> None:
    table = write(files, "image,dx,age,dx_type\nx/0.png,a,3,histo\nx/1.png,a,4,\n")
    with pytest.raises(StoreError, match=r"has no label; .*--columns label=dx; it has 'image', 'dx', 'age', 'dx_type'"):
        list_table(table)
    listing = list_table(table, options=TableOptions(columns="label=dx"))
    assert listing.notes == ("columns of list.csv that were not read: age, dx_type",)
    unknown = write(files, HEADER.format("age"))
    with pytest.raises(StoreError, match=r"not read, 'age'; say what each is, --columns NAME=COLUMN.*--ignore age"):
        list_table(unknown)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "must have the columns image, label .*, but has no image and no label"),
        ("file,class\nx/0.png,a\n", {}, "--columns image=file,label=class"),
        ("image,label,image\na,b,c\n", {}, "has the column 'image' more than once"),
        ("image,label\na,b\n", {"columns": "patient=label"}, "--columns must be NAME=COLUMN with a NAME of image"),
        ("image,label\na,b\n", {"columns": "grop=label"}, r"got 'grop' \(did you mean 'group'\?\)"),
        ("image,label\na,b\n", {"columns": "label=labels"}, r"no column 'labels' \(did you mean 'label'\?\)"),
        ("image,label\na,b\n", {"ignore": "sex"}, "no column 'sex'; it has 'image', 'label'"),
        ("image,label\na,b\n", {"columns": "label"}, "--columns must be pairs NAME=COLUMN"),
        ("image,label,A,B\na,b,1,0\n", {"one_hot": "A,B"}, "in the column 'label' and in those of --one-hot"),
        ("image,label\nx/0.png,\nx/1.png,a\n", {}, r"1 x a row without a label, first: .*line 2 \(x/0\.png\)"),
        ("image,label\n,a\nx/1.png,a\n", {}, r"1 x a row that names no picture, first: list\.csv, line 2"),
        ("image,label,split\nx/0.png,a,q\n", {}, "line 2: 'q' must be train, test or val.*--ignore"),
        ("image,label,split\nx/0.png,a,val\n", {}, "line 2: 'val' is a validation split.*--val train"),
        ("image,label,split\nx/0.png,a,train\nx/1.png,a,\n", {}, r"1 rows have no split, first x/1\.png"),
        ("image,label\nx/0.png,a\nx/7.png,a\n", {}, r"1 x a row whose picture does not exist.*\(x/7\.png\)"),
        ("image,label\nx/0.png,a\nx/0.png,a\n", {}, r"names 1 images more than once, first .*x/0\.png"),
        ("image,label\nx/0.png,a\n./x/0.png,a\n", {}, "names 1 images more than once"),
    ],
)  # fmt: skip
def test_a_table_that_breaks_a_rule(files: Path, text: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(StoreError, match=message) as refused:
        list_table(write(files, text), options=TableOptions(**options))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("word", "suffix", "found"),
    [
        ("ISIC_1", ".jpg", "part1/ISIC_1.jpg"),
        ("ISIC_1.jpg", "", "part1/ISIC_1.jpg"),
        ("ISIC_1.jpg", ".jpg", "part1/ISIC_1.jpg"),
        ("part1\\ISIC_1.jpg", "", "part1/ISIC_1.jpg"),
        ("part1\\ISIC_1", ".jpg", "part1/ISIC_1.jpg"),
        ("./part2/../part1/ISIC_1", ".jpg", "part1/ISIC_1.jpg"),
        ("1.2", ".png", "part2/1.2.png"),
        ("Läsion", ".png", "part2/" + unicodedata.normalize("NFD", "Läsion.png")),
    ],
)
def test_files_are_found_by_their_names(touch: Touch, word: str, suffix: str, found: str) -> None:
    root = touch(["part1/ISIC_1.jpg", "part2/1.2.png", "part2/" + unicodedata.normalize("NFD", "Läsion.png"), "0.png"])
    (image,) = list_table(write(root, f"image,label\n{word},a\n"), options=TableOptions(suffix=suffix)).images
    assert image.path.resolve() == (root / found).resolve()


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("ISIC_1", "there is part1/ISIC_1.jpg: give --suffix .jpg"),
        ("ISIC_1jpg", ""),
        ("isic_1.JPG", "there is part1/ISIC_1.jpg"),
        ("images/ISIC_1.jpg", "there is part1/ISIC_1.jpg"),
        ("ISIC_2", ""),
    ],
)
def test_a_file_that_is_not_found_comes_with_a_hint(touch: Touch, word: str, hint: str) -> None:
    root = touch(["part1/ISIC_1.jpg"])
    with pytest.raises(StoreError, match=r"a row whose picture does not exist") as refused:
        list_table(write(root, f"image,label\n{word},a\n"))
    assert (f"({word}), but {hint};" if hint else f"({word});") in str(refused.value)


def test_a_name_at_two_places(touch: Touch) -> None:
    root = touch(["part1/0.png", "PART1/0.png", "part2/1.png", "part3/1.png"])
    (root / "part3" / "1.png").write_text("another picture")
    table = write(root, "image,label\n0.png,a\n1.png,a\n")
    with pytest.raises(
        StoreError, match=r"has several files that differ, first: .*part2/1\.png and part3/1\.png; name"
    ):
        list_table(table)
    listing = list_table(table, on_error="skip")
    assert [image.source for image in listing.images] == ["PART1/0.png"]
    assert {entry.place: entry.reason for entry in listing.left_out} == {
        "list.csv, line 3 (1.png): part2/1.png and part3/1.png": rows.AMBIGUOUS,
        "part1/0.png": tables.SAME_BYTES,
    }


def test_what_has_no_row_is_counted(touch: Touch) -> None:
    root = touch(["a/0.png", "a/1.png", "a/more.png", "a/notes.txt", "other.csv", "a/Thumbs.db"])
    listing = list_table(write(root, "image,label\na/0.png,a\na/1.png,a\n"))
    assert {entry.place: entry.reason for entry in listing.left_out} == {
        "a/more.png": tables.WITHOUT_ROW,
        "a/notes.txt": contents.NO_IMAGE,
        "other.csv": contents.TABLE,
        "a/Thumbs.db": contents.SYSTEM,
    }


ONE_HOT = "image,MEL,NV,UNK\nx/0.png,1.0,0.0,0.0\nx/1.png,0,1,0\nx/2.png,{},{},0\n"


def test_one_hot_columns(files: Path) -> None:
    table = write(files, ONE_HOT.format("1", "0"))
    with pytest.raises(StoreError, match=r"no column 'label', but 3 columns of zeros and ones.*--one-hot MEL,NV,UNK"):
        list_table(table)
    listing = list_table(table, options=TableOptions(one_hot="MEL,NV,UNK"))
    assert [image.label for image in listing.images] == ["MEL", "NV", "MEL"]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [(("0", "0"), rows.NO_HOT), (("1", "1"), rows.SEVERAL_HOT), (("1.0", "true"), rows.SEVERAL_HOT)],
)
def test_rows_that_have_not_one_label(files: Path, cells: tuple[str, str], reason: str) -> None:
    table, options = write(files, ONE_HOT.format(*cells)), TableOptions(one_hot="MEL,NV,UNK")
    with pytest.raises(
        StoreError, match=rf"1 x {reason}, first: list\.csv, line 4 \(x/2\.png\); a picture needs one label; or go on"
    ):
        list_table(table, options=options)
    listing = list_table(table, options=options, on_error="skip")
    assert [image.label for image in listing.images] == ["MEL", "NV"]
    assert [(entry.place, entry.reason) for entry in listing.left_out] == [("list.csv, line 4 (x/2.png)", reason)]


@pytest.mark.parametrize("cell", ["0.7", "", "2", "yes"])
def test_a_one_hot_cell_that_is_neither(files: Path, cell: str) -> None:
    with pytest.raises(StoreError, match=f"line 4: the one-hot column 'MEL' must be 0 or 1, but is '{cell}'"):
        list_table(write(files, ONE_HOT.format(cell, "0")), options=TableOptions(one_hot="MEL,NV,UNK"))


@pytest.mark.parametrize("word", ["nan", "NA", "None", "n/a"])
def test_patients_called_nan_are_not_one_patient(files: Path, word: str) -> None:
    table = write(files, f"image,label,group\nx/0.png,a,p1\nx/1.png,a,{word}\nx/2.png,a,{word}\n")
    with pytest.raises(
        StoreError, match=f"'{word}' as group in 2 rows, which often stands for a missing one"
    ) as refused:
        list_table(table)
    assert f"--missing {word} reads it as an empty cell" in str(refused.value)
    assert [i.group for i in list_table(table, options=TableOptions(missing=word)).images] == ["p1", "", ""]
    assert [i.group for i in list_table(table, options=TableOptions(missing="")).images] == ["p1", word, word]


def test_a_validation_split_in_a_table(files: Path) -> None:
    table = write(files, "image,label,split\nx/0.png,a,train\nx/1.png,a,val\nx/2.png,a,test\n")
    assert [i.split for i in list_table(table, validation="train").images] == ["train", "train", "test"]
    listing = list_table(table, validation="leave-out")
    assert [i.split for i in listing.images] == ["train", "test"]
    assert [entry.reason for entry in listing.left_out] == [LEFT_OUT_VALIDATION]


def test_a_second_table_of_the_same_images(files: Path) -> None:
    table = write(files, "image,label\nx/0.png,a\nx/1.png,a\n")
    more = write(files, "image,age,lesion_id\nx/0.png,3,l7\n", "more.csv")
    with pytest.raises(StoreError, match=r"not read, 'age', 'lesion_id'; .*--columns group=lesion_id"):
        list_table(table, options=TableOptions(join=more))
    listing = list_table(table, options=TableOptions(join=more, columns="group=lesion_id"))
    assert [image.group for image in listing.images] == ["l7", ""]
    assert listing.notes[0] == "1 of 2 images have no row in more.csv"
    assert "more.csv" not in [entry.place for entry in listing.left_out]
    with pytest.raises(StoreError, match=r"more\.csv has no column 'image', by which --join finds an image in both"):
        list_table(table, options=TableOptions(join=write(files, "name,age\na,3\n", "more.csv")))
