"""What a file holds, told by its first bytes: a name says what somebody thought it was."""

import codecs
import re
from pathlib import Path

_LOOK_BYTES = 65_536
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"II+\x00", "a TIFF picture"),
    (b"MM\x00+", "a TIFF picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"BM", "a BMP picture"),
    (b"P4\n", "a PBM picture"),
    (b"P5\n", "a PGM picture"),
    (b"P6\n", "a PPM picture"),
    (b"NRRD", "an NRRD volume"),
    (b"ARROW1", "an Arrow file (a tile store's tiles are one)"),
    (b"PAR1", "a Parquet table"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PK", "a zip archive (.npz and PyTorch's files are some)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3\x00", "an SQLite database (MLflow's runs are in one)"),
)
_ELSEWHERE = (
    (128, b"DICM", "a DICOM file"),
    (344, b"n+1\x00", "a NIfTI volume"),
    (257, b"ustar", "a tar archive"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyp", "a HEIF picture or a film"),
)
_PICTURE_IN_TEXT = re.compile(rb"P([123])\s+(?:#.*\s+)*\d+\s+\d+\s")


def not_text(path: Path) -> str | None:
    """Say what a file is if it is no text, else None. Its name is not looked at.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_LOOK_BYTES)
    if found := _PICTURE_IN_TEXT.match(start):
        return f"a P{'BGP'[int(found[1]) - 1]}M picture"
    if _is_text(start):
        return None
    for magic, name in _STARTS:
        if start.startswith(magic):
            return name
    for at, magic, name in _ELSEWHERE:
        if start[at : at + len(magic)] == magic:
            return name
    return "binary data"


def _is_text(start: bytes) -> bool:
    if b"\x00" in start or start.startswith((b"%PDF", b"NRRD")):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # may end within a character
    except UnicodeDecodeError:
        return False
    return True
