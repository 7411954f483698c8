"""Which files are images: by the name's ending, and by what the file begins with."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_HEAD_BYTES = 512


@dataclass(frozen=True)
class Format:
    """A file format that is decoded, or that is recognised so that it can be refused by its name."""

    name: str
    suffixes: tuple[str, ...]
    """Endings in lower case, with the dot."""
    begins: Callable[[bytes], bool]
    """Whether a file with these first bytes is of this format."""


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Of a file in the ISO base media format: its brand stands behind the word ``ftyp``."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


FORMATS = (
    # First: the 128 bytes before its mark are anything, often the header of a TIFF file.
    Format("DICOM", (".dcm", ".dicom", ".dic"), lambda head: head[128:132] == b"DICM"),
    Format("PNG", (".png", ".apng"), _starts(b"\x89PNG\r\n\x1a\n")),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), _starts(b"\xff\xd8\xff")),
    Format("TIFF", (".tif", ".tiff", ".btf"), _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    # Two letters are too few to tell a bitmap from a text: the size of its second header is below 256.
    Format("BMP", (".bmp",), lambda head: head[:2] == b"BM" and head[15:18] == b"\0\0\0"),
    # A bitmap without its first header, as Windows holds it in memory.
    Format(
        "DIB",
        (".dib",),
        lambda head: head[:4] in (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0") and head[12:14] == b"\1\0",
    ),
    Format("WebP", (".webp",), lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    Format("GIF", (".gif",), _starts(b"GIF87a", b"GIF89a")),
    Format(
        "JPEG 2000",
        (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
        _starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    ),
    Format("AVIF", (".avif",), _brand(b"avif", b"avis")),
    Format(
        "Netpbm",
        (".ppm", ".pgm", ".pbm", ".pnm"),
        lambda head: re.match(rb"P[1-6]\s+(#|\d)", head) is not None,
    ),
)
"""What is decoded."""

SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi")
"""Endings of slide scanners' files that :mod:`fedray.data.slides` reads. Some begin as a TIFF or a JPEG file does."""

UNREAD_SLIDE_SUFFIXES = (".ndpis", ".vsi")
"""Endings of those that nothing here reads."""

UNREAD_SLIDE_REMEDY = "export the slide as TIFF with a pyramid, and cut that"

UNREADABLE = (
    Format("HEIC", (".heic", ".heif", ".hif"), _brand(b"heic", b"heix", b"mif1", b"msf1", b"hevc")),
    Format("JPEG XL", (".jxl",), _starts(b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a")),
    Format("PSD", (".psd", ".psb"), _starts(b"8BPS")),
    Format(
        "camera raw",
        (".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".raf", ".rw2"),
        _starts(b"IIRO", b"IIU\0", b"FUJIFILM"),
    ),
    Format("NIfTI", (".nii", ".nii.gz"), lambda head: head[344:348] in (b"n+1\0", b"ni1\0")),
    Format("NRRD", (".nrrd", ".nhdr"), _starts(b"NRRD000")),
    Format("MetaImage", (".mha", ".mhd"), _starts(b"ObjectType =")),
    Format("HDF5", (".h5", ".hdf5"), _starts(b"\x89HDF\r\n\x1a\n")),
)
"""Images that are not decoded, but must not be passed over without a word."""

EXTENSIONS = tuple(suffix for known in FORMATS for suffix in known.suffixes)
"""Endings of the files that are decoded."""

_REFUSED_SUFFIXES = (
    *SLIDE_SUFFIXES,
    *UNREAD_SLIDE_SUFFIXES,
    *(suffix for known in UNREADABLE for suffix in known.suffixes),
)


def format_of(path: Path) -> Format | None:
    """Return the format that the file's first bytes belong to; None: of none that is known here.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return next((known for known in (*FORMATS, *UNREADABLE) if known.begins(head)), None)


def is_image(path: Path) -> bool:
    """Whether a file is an image, so that it is either decoded or refused by name, and never passed over.

    The name's ending decides where it is known; of another or no ending, the first bytes do. A file that cannot be
    opened and has no known ending is none.
    """
    if path.name.lower().endswith((*EXTENSIONS, *_REFUSED_SUFFIXES)):
        return True
    try:
        return format_of(path) is not None
    except OSError:
        return False
