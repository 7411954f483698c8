"""Decoding: an image file becomes a square RGB tile, or an error that names the file and the reason."""

from fedray.data.decoding.decode import DecodeError, Pixels, decode_all, decode_tile
from fedray.data.decoding.formats import EXTENSIONS, FORMATS, SLIDE_SUFFIXES, Format, format_of, is_image

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "SLIDE_SUFFIXES",
    "DecodeError",
    "Format",
    "Pixels",
    "decode_all",
    "decode_tile",
    "format_of",
    "is_image",
]
