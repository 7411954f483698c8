"""Tables as they were written: encodings, separators, cells."""

from pathlib import Path

import pytest

from fedray.data import StoreError
from fedray.data.importing.text_tables import join_tables, read_table

TEXT = "image,label\n007.png,Nävus\n1e5.png,NA\n"
ROWS = (("007.png", "Nävus"), ("1e5.png", "NA"))


def write(folder: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    file = folder / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_separators_are_recognised(tmp_path: Path, encoding: str, separator: str, newline: str) -> None:
    table = read_table(write(tmp_path, TEXT.replace(",", separator).replace("\n", newline), encoding))
    assert (table.header, table.rows, table.lines) == (("image", "label"), ROWS, (2, 3))


def test_the_separator_that_excel_writes_above_the_header_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffsep=;\r\nimage;label\r\na.png;nv\r\n".encode())
    table = read_table(tmp_path / "t.csv")
    assert (table.header, table.rows, table.lines) == (("image", "label"), (("a.png", "nv"),), (3,))


@pytest.mark.parametrize(("encoding", "way"), [("cp1252", "cp1252"), ("utf-16-le", "utf-16-le")])
def test_an_encoding_that_is_not_certain_is_named(tmp_path: Path, encoding: str, way: str) -> None:
    file = write(tmp_path, TEXT, encoding)
    with pytest.raises(StoreError, match=rf"--encoding {way}\b") as refused:
        read_table(file)
    if encoding == "cp1252":
        assert "no text in UTF-8, line 2: byte 0xe4; if this reads right: '007.png,Nävus'" in str(refused.value)
    assert read_table(file, encoding).rows == ROWS


def test_an_encoding_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"--encoding must be one that Python knows, .* but got 'windows'"):
        read_table(write(tmp_path, TEXT), "windows")
    with pytest.raises(StoreError, match="is no text in ASCII, line 2: byte 0xc3; give its --encoding"):
        read_table(write(tmp_path, TEXT), "ascii")


def test_cells_arrive_as_they_are_written(tmp_path: Path) -> None:
    text = '\n image , "label"\n007, 1.0 \n1e5,TRUE\n"a, b",nan\n\\x\\0.png,"say ""no"""\n,,\n'.replace(",,", ",")
    table = read_table(write(tmp_path, text))
    assert table.header == ("image", "label")
    assert table.rows == (("007", "1.0"), ("1e5", "TRUE"), ("a, b", "nan"), ("\\x\\0.png", 'say "no"'))


def test_a_name_may_hold_another_separator(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "image;label;size, mm\na;b;3\nc;d;4,5\n"))
    assert table.header == ("image", "label", "size, mm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,label\na,b\nc\n", "line 3: a row must have 2 cells as the header has, but has 1"),
        ("image,label\na,b,c\n", "line 2: a row must have 2 cells as the header has, but has 3; .*double quotes"),
        ('image,label\n"a,b\n', "is no table, line 2"),
        ("a;b,c\n1;2,3\n", "can be read as separated by comma and semicolon; put names and cells .* in double quotes"),
        (b"PK\x03\x04 a workbook", "is a workbook of a spreadsheet program; save its sheet as CSV"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        read_table(write(tmp_path, content))
    with pytest.raises(StoreError, match=r"cannot read the table .*absent.csv: No such file"):
        read_table(tmp_path / "absent.csv")


def test_a_second_table_adds_columns(tmp_path: Path) -> None:
    first = read_table(write(tmp_path, "image,label\na,x\nb,y\n"))
    second = read_table(write(tmp_path, "sex,image\nf,b\nm,z\n"))
    joined, unmatched = join_tables(first, second, "image", "image")
    assert (joined.header, joined.rows, unmatched) == (("image", "label", "sex"), (("a", "x", ""), ("b", "y", "f")), 1)
    twice = read_table(write(tmp_path, "image,sex\na,f\na,m\n"))
    with pytest.raises(StoreError, match="line 3: image 'a' stands there twice"):
        join_tables(first, twice, "image", "image")
    both = read_table(write(tmp_path, "image,label\na,f\n"))
    with pytest.raises(StoreError, match="both have a column 'label'"):
        join_tables(first, both, "image", "image")
