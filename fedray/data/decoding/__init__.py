"""Decoding: an image file becomes a square RGB tile, or an error that names the file and the reason."""

from fedray.data.decoding.decode import DecodeError, Pixels, decode_all, decode_tile
from fedray.data.decoding.formats import FORMATS, SLIDE_SUFFIXES, SUFFIXES, Format, format_of, is_image

__all__ = [
    "FORMATS",
    "SLIDE_SUFFIXES",
    "SUFFIXES",
    "DecodeError",
    "Format",
    "Pixels",
    "decode_all",
    "decode_tile",
    "format_of",
    "is_image",
]
