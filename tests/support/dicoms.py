"""DICOM files of flat stripes."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def write_dicom(path: Path, values: NDArray[Any], **elements: Any) -> Path:
    """Write one uncompressed frame [H, W] or [H, W, 3]; elements replace or add to what the array says."""
    make_dicom(values, **elements).save_as(path, enforce_file_format=True)
    return path


def make_dicom(values: NDArray[Any], **elements: Any) -> Dataset:
    """Make what :func:`write_dicom` writes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[values.tobytes().hex()])
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 1 if values.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    for name, value in elements.items():
        setattr(dataset, name, value)
    if "BitsStored" not in dataset:
        dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = elements.get("HighBit", dataset.BitsStored - 1)
    for name in ("PixelData", "SmallestImagePixelValue"):
        if name in dataset:
            dataset[name].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    return dataset


def compress(dataset: Dataset, syntax: UID, stream: bytes) -> Dataset:
    """Replace the pixels by a compressed stream of them."""
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def lookup_table(values: list[int], first: int = 0, bits: int = 16) -> Dataset:
    """An item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = np.asarray(values, np.uint16).tobytes()
    item["LUTData"].VR = "OW"
    return item


def palette(colors: list[tuple[int, int, int]], bits: int = 16) -> dict[str, Any]:
    """The elements of a palette."""
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [len(colors), 0, bits]
        data = np.asarray([color[channel] for color in colors], np.uint16).tobytes()
        elements[f"{name}PaletteColorLookupTableData"] = data
    return elements
