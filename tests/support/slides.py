"""Slides of every format, small and made here: the same picture as each scanner would file it."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, generate_uid

Picture = NDArray[np.uint8]

SlideFile = Callable[[str], Path]
"""``slide_file(format)``, a fixture: the picture in that format."""

MPP = 0.5
"""Micrometres per pixel of the finest level."""

TISSUE = np.s_[128:640, 128:768]
"""Where the picture is tissue."""

_JPEG_EDGE = 256


def slide_picture() -> Picture:
    """Return a slide of 1024 x 768 px: glass, with a rectangle of stained tissue."""
    picture = np.full((768, 1024, 3), 243, np.uint8)
    section = skimage.data.immunohistochemistry()[:256, :320]
    picture[TISSUE] = np.asarray(Image.fromarray(section).resize((640, 512), Image.Resampling.BICUBIC))
    return picture


def smaller(picture: Picture, factor: int) -> Picture:
    """Return a coarser level."""
    return np.asarray(Image.fromarray(picture).reduce(factor))


def write_tiff(
    path: Path, picture: Picture, mpp: float | None = MPP, factors: tuple[int, ...] = (1, 4), **options: Any
) -> Path:
    """Write a tiled pyramid; ``options`` are those of tifffile for every level."""
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None} | options
    with tifffile.TiffWriter(path) as file:
        for factor in factors:
            if mpp is not None:
                options |= {"resolution": (1e4 / (mpp * factor),) * 2, "resolutionunit": "CENTIMETER"}
            file.write(smaller(picture, factor) if factor > 1 else picture, subfiletype=int(factor > 1), **options)
            options.pop("description", None)
    return path


def write_svs(path: Path, picture: Picture, **options: Any) -> Path:
    """Write what an Aperio scanner does: a TIFF with the resolution in its description."""
    height, width = picture.shape[:2]
    text = f"Aperio Image Library v11\r\n{width}x{height} [0,0 {width}x{height}] JPEG/RGB Q=70|AppMag = 20|MPP = {MPP}"
    return write_tiff(path, picture, None, description=text, **options)


def write_ome(path: Path, picture: Picture, unit: str = "µm", size: float = MPP) -> Path:
    """Write an OME-TIFF with its coarser level in a SubIFD."""
    units = {f"PhysicalSize{axis}{key}": value for axis in "XY" for key, value in (("", size), ("Unit", unit))}
    options: dict[str, Any] = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(picture, subifds=1, metadata={"axes": "YXS"} | units, **options)
        file.write(smaller(picture, 4), subfiletype=1, metadata=None, **options)
    return path


def write_ndpi(path: Path, picture: Picture) -> Path:
    """Write what a Hamamatsu scanner does: one JPEG a level, and tags of its own."""
    with tifffile.TiffWriter(path) as file:
        for factor in (1, 4):
            level = smaller(picture, factor) if factor > 1 else picture
            tags = [(65420, "I", 1, 1, True), (65421, "f", 1, 20 / factor, True), (65424, "i", 1, 0, True)]
            file.write(
                iter([_jpeg(level)]), shape=level.shape, dtype=np.uint8, photometric="ycbcr", subsampling=(1, 1),
                compression="jpeg", rowsperstrip=len(level), metadata=None, extratags=tags,
                resolution=(1e4 / (MPP * factor),) * 2, resolutionunit="CENTIMETER",
            )  # fmt: skip
    return path


def write_mirax(path: Path, picture: Picture) -> Path:
    """Write what a 3DHISTECH scanner does: an index and JPEGs in a folder; the first one was not scanned."""
    edge, (height, width) = _JPEG_EDGE, picture.shape[:2]
    rows, columns, slide = height // edge, width // edge, "0123456789ABCDEF" * 2
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(_jpeg(smaller(picture, 8)))
    data, pages = bytearray(f"01.02{slide}  ".encode()), []
    for step in (1, 2):
        page = []
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                part = picture[row * edge : (row + step) * edge, column * edge : (column + step) * edge]
                part = smaller(part, step) if step > 1 else part
                full = np.full((edge, edge, 3), 255, np.uint8)
                full[: len(part), : part.shape[1]] = part
                if step > 1 or (row, column) != (0, 0):
                    page.append((row * columns + column, len(data), len(_jpeg(full)), 0))
                    data += _jpeg(full)
        pages.append(page)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mirax_index(slide, pages))
    (folder / "Slidedat.ini").write_text(_mirax_ini(slide, rows, columns))
    return path


def write_dicom(folder: Path, picture: Picture) -> Path:
    """Write a DICOM slide, a file a level. Returns the second of them."""
    folder.mkdir(parents=True)
    uids = [generate_uid(entropy_srcs=[str(folder), name]) for name in ("series", "study", "frame")]
    for number, factor in enumerate((1, 4), 1):
        level = smaller(picture, factor) if factor > 1 else picture
        _write_dicom_level(folder / f"{number}.dcm", level, MPP * factor, uids, number)
    return folder / "2.dcm"


FORMATS: dict[str, Callable[[Path, Picture], Path]] = {
    "tiff": lambda folder, picture: write_tiff(folder / "a.tif", picture),
    "svs": lambda folder, picture: write_svs(folder / "a.svs", picture),
    "ndpi": lambda folder, picture: write_ndpi(folder / "a.ndpi", picture),
    "mirax": lambda folder, picture: write_mirax(folder / "a.mrxs", picture),
    "dicom": lambda folder, picture: write_dicom(folder / "dicom", picture),
    "ome": lambda folder, picture: write_ome(folder / "a.ome.tif", picture),
    "strips": lambda folder, picture: write_tiff(folder / "b.tif", picture, tile=None, rowsperstrip=48, factors=(1,)),
    "planes": lambda folder, picture: write_tiff(
        folder / "c.tif", np.moveaxis(picture, -1, 0), factors=(1,), planarconfig="separate", compression="deflate"
    ),
    "lossless": lambda folder, picture: write_tiff(folder / "d.tif", picture, compression="lzw", predictor=True),
    "12 bits": lambda folder, picture: write_tiff(
        folder / "e.tif", np.round(picture / 255 * 4095).astype(np.uint16), factors=(1,), compression="deflate"
    ),
}
"""Writers by format; each returns the file to open."""


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def _mirax_index(slide: str, pages: list[list[tuple[int, int, int, int]]]) -> bytes:
    head = f"01.02{slide}".encode()
    first = len(head) + 8
    records, lists = b"", b""
    for page in pages:
        start = first + 4 * len(pages) + len(lists)
        records += struct.pack("<i", start)
        entries = b"".join(struct.pack("<iiii", *entry) for entry in page)
        lists += struct.pack("<iiii", 0, start + 8, len(page), 0) + entries
    return head + struct.pack("<ii", first, first) + records + lists


def _mirax_ini(slide: str, rows: int, columns: int) -> str:
    levels = "".join(
        f"""[LAYER_0_LEVEL_{level}_SECTION]
OVERLAP_X=0
OVERLAP_Y=0
MICROMETER_PER_PIXEL_X={MPP * 2**level}
MICROMETER_PER_PIXEL_Y={MPP * 2**level}
IMAGE_FILL_COLOR_BGR=16777215
DIGITIZER_WIDTH={_JPEG_EDGE}
DIGITIZER_HEIGHT={_JPEG_EDGE}
IMAGE_CONCAT_FACTOR={level}
IMAGE_FORMAT=JPEG
"""
        for level in (0, 1)
    )
    return f"""[GENERAL]
SLIDE_ID={slide}
CURRENT_SLIDE_VERSION=1.9
IMAGENUMBER_X={columns}
IMAGENUMBER_Y={rows}
OBJECTIVE_MAGNIFICATION=20
CameraImageDivisionsPerSide=1
[HIERARCHICAL]
INDEXFILE=Index.dat
HIER_COUNT=1
HIER_0_NAME=Slide zoom level
HIER_0_COUNT=2
HIER_0_VAL_0=ZoomLevel_0
HIER_0_VAL_0_SECTION=LAYER_0_LEVEL_0_SECTION
HIER_0_VAL_1=ZoomLevel_1
HIER_0_VAL_1_SECTION=LAYER_0_LEVEL_1_SECTION
NONHIER_COUNT=0
[DATAFILE]
FILE_COUNT=1
FILE_0=Data0000.dat
{levels}"""


def _write_dicom_level(path: Path, picture: Picture, mpp: float, uids: list[str], number: int) -> None:
    edge, (height, width) = _JPEG_EDGE, picture.shape[:2]
    padded = np.full((-(-height // edge) * edge, -(-width // edge) * edge, 3), 255, np.uint8)
    padded[:height, :width] = picture
    frames = [
        _jpeg(padded[y : y + edge, x : x + edge])
        for y in range(0, len(padded), edge)
        for x in range(0, padded.shape[1], edge)
    ]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL whole slide microscopy
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    derived = ["ORIGINAL", "NONE"] if number == 1 else ["DERIVED", "RESAMPLED"]
    path_of_light = _dataset(OpticalPathIdentifier="0")
    spacing = _dataset(PixelSpacing=[mpp / 1e3] * 2, SliceThickness=0.001)
    origin = _dataset(XOffsetInSlideCoordinateSystem=0.0, YOffsetInSlideCoordinateSystem=0.0)
    dataset = _dataset(
        file_meta=meta, SOPClassUID=meta.MediaStorageSOPClassUID, SOPInstanceUID=meta.MediaStorageSOPInstanceUID,
        SeriesInstanceUID=uids[0], StudyInstanceUID=uids[1], FrameOfReferenceUID=uids[2], Modality="SM",
        ImageType=[derived[0], "PRIMARY", "VOLUME", derived[1]], InstanceNumber=number, PatientName="A", PatientID="1",
        SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=0, NumberOfFrames=len(frames),
        Rows=edge, Columns=edge, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0,
        TotalPixelMatrixColumns=width, TotalPixelMatrixRows=height, TotalPixelMatrixFocalPlanes=1,
        ImagedVolumeWidth=width * mpp / 1e3, ImagedVolumeHeight=height * mpp / 1e3, ImagedVolumeDepth=0.001,
        DimensionOrganizationType="TILED_FULL", NumberOfOpticalPaths=1, TotalPixelMatrixOriginSequence=[origin],
        ImageOrientationSlide=[0, 1, 0, 1, 0, 0], OpticalPathSequence=[path_of_light],
        SharedFunctionalGroupsSequence=[_dataset(PixelMeasuresSequence=[spacing])], BurnedInAnnotation="NO",
        LossyImageCompression="01", PixelData=encapsulate(frames),
    )  # fmt: skip
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True, little_endian=True, implicit_vr=False)


def _dataset(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset
