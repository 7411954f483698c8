"""Whose picture a DICOM file holds, as the group of images that name none."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fedray.data.decoding import DecodeError, format_of, patient_group
from fedray.data.importing.images import ListedImage


def group_by_patient(images: Iterable[ListedImage]) -> Iterator[ListedImage]:
    """Give images without a group the one of their patient, where they are DICOM files; see :func:`patient_group`."""
    for image in images:
        yield image if image.group else replace(image, group=_patient(image))


def _patient(image: ListedImage) -> str:
    try:
        known = format_of(image.path)
        return patient_group(image.path) if known is not None and known.name == "DICOM" else ""
    except (OSError, DecodeError):
        return ""  # what is wrong with the file is said when it is decoded
