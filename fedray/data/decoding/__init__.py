"""Decoding: an image file becomes a square RGB tile, or an error that names the file and the reason."""

from fedray.data.decoding.decode import DecodedTile, decode_all, decode_tile, tile_of_array
from fedray.data.decoding.detail import ENLARGED_DETAIL
from fedray.data.decoding.dicom import patient_group
from fedray.data.decoding.errors import DecodeError
from fedray.data.decoding.formats import EXTENSIONS, FORMATS, SLIDE_SUFFIXES, Format, format_of, is_image
from fedray.data.decoding.picture import MAX_PIXELS
from fedray.data.decoding.samples import Asked, Origin, Pixels, Scale, ValueRange

__all__ = [
    "ENLARGED_DETAIL",
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "SLIDE_SUFFIXES",
    "Asked",
    "DecodeError",
    "DecodedTile",
    "Format",
    "Origin",
    "Pixels",
    "Scale",
    "ValueRange",
    "decode_all",
    "decode_tile",
    "format_of",
    "is_image",
    "patient_group",
    "tile_of_array",
]
