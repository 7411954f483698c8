"""DICOM files, through the extra ``fedray[dicom]``: one picture as a viewer would show it, and whose it is."""

import functools
import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedray.data.decoding.errors import DecodeError, MeaningError
from fedray.data.decoding.picture import Decoded, check_size, profile_name
from fedray.data.decoding.samples import Asked, Origin, Samples, Scale, palette_samples, to_rgb

if TYPE_CHECKING:
    from pydicom import Dataset

PATIENT_KEY_VARIABLE = "FEDRAY_PATIENT_KEY"
"""Environment variable with a secret that goes into the patients' hashes."""

BURNT_IN = "text is burnt into the pixels (BurnedInAnnotation is YES)"
"""Note of files whose pixels may show a patient's name."""

_EXPORT = "export it as PNG from a viewer"
_SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2")


def decode_dicom(path: Path, asked: Asked) -> Decoded:
    """Decode a DICOM file of one frame: modality LUT or rescale, then VOI LUT or window, the first of several.

    Raises:
        MeaningError: The extra is missing, the file is a slide, a film or no picture, or its colours are not certain.
        Exception: Whatever pydicom and the codecs raise on a damaged file.
    """
    dataset = _read(path)
    _check_single_picture(dataset)
    values = _stored_values(dataset)
    kind = dataset.PhotometricInterpretation
    if kind in _GREYS:
        samples = _grey(dataset, values, inverted=kind == "MONOCHROME1")
    elif kind == "PALETTE COLOR":
        samples = _from_palette(dataset, values)
    else:
        samples = Samples(values, dataset.BitsAllocated, _stored_scale(dataset, values))
    rgb, found = to_rgb(samples, asked)
    notes = (BURNT_IN,) if dataset.get("BurnedInAnnotation") == "YES" else ()
    return Decoded(rgb, found, profile=profile_name(dataset.get("ICCProfile")), notes=notes)


def patient_group(path: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Return a pseudonym of the patient whose picture a DICOM file holds; of the study where no patient is named.

    It is the BLAKE2b hash, 64 bits, of the patient's id with its issuer, keyed by the environment variable
    ``FEDRAY_PATIENT_KEY``. Without a key, whoever has a list of ids can hash it and compare.

    Returns:
        ``patient-`` or ``study-`` and 16 hexadecimal digits; an empty text where the file names neither.

    Raises:
        DecodeError: The extra is missing, or the header cannot be read.
    """
    try:
        dataset = _read(path, header_only=True)
    except MeaningError as error:
        raise DecodeError(f"cannot read whose picture {path} is: {error}") from None
    except Exception as error:
        raise DecodeError(f"cannot read whose picture {path} is: it is damaged ({type(error).__name__})") from None
    patient = str(dataset.get("PatientID") or "").strip()
    study = str(dataset.get("StudyInstanceUID") or "").strip()
    if not patient and not study:
        return ""
    key = environment.get(PATIENT_KEY_VARIABLE, "").encode()[: hashlib.blake2b.MAX_KEY_SIZE]
    identity = f"{dataset.get('IssuerOfPatientID') or ''}\0{patient}" if patient else study
    digest = hashlib.blake2b(identity.encode(), digest_size=8, key=key).hexdigest()
    return f"{'patient' if patient else 'study'}-{digest}"


def _read(path: Path, header_only: bool = False) -> Any:
    return _pydicom().dcmread(path, stop_before_pixels=header_only)


@functools.cache
def _pydicom() -> ModuleType:
    try:
        import pydicom
    except ImportError:
        raise MeaningError(
            "DICOM is read by the extra: pip install 'fedray[dicom]' (in the repository: uv pip install '.[dicom]')"
        ) from None
    # It warns of every small fault in a header, on stderr; what matters is raised.
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _check_single_picture(dataset: "Dataset") -> None:
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise MeaningError(f"it holds no picture (modality {dataset.get('Modality') or 'not named'})")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if dataset.get("SOPClassUID") == _SLIDE_CLASS:
        raise MeaningError(
            f"it is a slide ({frames} frame{'s' if frames > 1 else ''}); cut it into tiles with jobs/cut_tiles.py"
        )
    if frames > 1:
        raise MeaningError(f"it is a film or a volume of {frames} frames; save the frame that is meant alone")
    kind = dataset.get("PhotometricInterpretation")
    if kind not in (*_GREYS, *_COLOURS, "PALETTE COLOR"):
        raise MeaningError(f"its colours are {kind or 'not named'}, which is not converted; convert it to RGB")
    stored = dataset.get("BitsStored")
    if stored is not None and dataset.get("HighBit", stored - 1) != stored - 1:
        raise MeaningError(f"its {stored} bits end at bit {dataset.HighBit} and not at {stored - 1}; {_EXPORT}")
    check_size(int(dataset.Columns), int(dataset.Rows))


def _stored_values(dataset: "Dataset") -> NDArray[Any]:
    """Return the pixels [H, W, C], colours converted to RGB."""
    from pydicom.pixels.utils import pixel_array

    try:
        # Bits beyond those declared are set to 0 unless told otherwise, which would wrap a picture that uses them; of
        # signed numbers they are the sign.
        values = pixel_array(dataset, correct_unused_bits=dataset.get("PixelRepresentation", 0) == 1)
    except (RuntimeError, NotImplementedError):
        kind = dataset.file_meta.TransferSyntaxUID.name
        raise MeaningError(
            f"its pixels ({kind}) cannot be decoded: they are damaged, or compressed in a way that the extra does not "
            "read; save it uncompressed"
        ) from None
    height, width = int(dataset.Rows), int(dataset.Columns)
    return values.reshape(height, width, -1)


def _stored_scale(dataset: "Dataset", values: NDArray[Any]) -> Scale | None:
    """Return the range of the stored numbers; all bits of a type say nothing about those that are used."""
    if values.dtype.kind not in "iu":
        return None
    bits = int(dataset.BitsStored)
    origin = Origin.ASSUMED if bits in (16, 32) else Origin.DECLARED
    return (
        Scale(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, origin)
        if values.dtype.kind == "i"
        else Scale(0, 2**bits - 1, origin)
    )


def _grey(dataset: "Dataset", stored: NDArray[Any], inverted: bool) -> Samples:
    values, scale = _modality_values(dataset, stored)
    bits = int(dataset.get("BitsAllocated", 32))
    if sequence := dataset.get("VOILUTSequence"):
        from pydicom.pixels.processing import apply_voi_lut

        white = 2 ** int(sequence[0].LUTDescriptor[2]) - 1
        return Samples(apply_voi_lut(values, dataset), bits, Scale(0, white, Origin.DECLARED), inverted)
    if dataset.get("WindowCenter") in (None, "") or dataset.get("WindowWidth") in (None, ""):
        return Samples(values, bits, scale, inverted)
    center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID" and width > 0:
        share = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
        return Samples(share, bits, Scale(0, 1, Origin.DECLARED), inverted)
    if function == "LINEAR":  # C.11.2.1.2.1 of part 3: a window of width 1 is one step
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise MeaningError(f"its window has the function {function}, which is not known; {_EXPORT}")
    if width < 0 or (width == 0 and function != "LINEAR"):
        raise MeaningError(f"its window has the width {_first(dataset.WindowWidth):g}; {_EXPORT}")
    width = max(width, 1e-6)
    return Samples(values, bits, Scale(center - width / 2, center + width / 2, Origin.WINDOWED), inverted)


def _modality_values(dataset: "Dataset", stored: NDArray[Any]) -> tuple[NDArray[Any], Scale | None]:
    """Apply the modality LUT or the rescale; returns the values and the range that they can have."""
    scale = _stored_scale(dataset, stored)
    if sequence := dataset.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        white = 2 ** int(sequence[0].LUTDescriptor[2]) - 1
        return apply_modality_lut(stored, dataset), Scale(0, white, Origin.DECLARED)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    if (slope, intercept) == (1, 0):
        return stored, scale
    if slope == 0:
        raise MeaningError(f"its rescale slope is 0, which makes every pixel the same; {_EXPORT}")
    if scale is not None:
        low, high = sorted((scale.low * slope + intercept, scale.high * slope + intercept))
        scale = Scale(low, high, scale.origin)
    return stored * slope + intercept, scale


def _from_palette(dataset: "Dataset", values: NDArray[Any]) -> Samples:
    from pydicom.pixels.processing import apply_color_lut

    # Over all codes that occur, in their order: the palette of the picture.
    codes, places = np.unique(values[..., 0], return_inverse=True)
    palette = apply_color_lut(codes[np.newaxis], dataset)[0, :, :3]
    return palette_samples(palette, places.reshape(values.shape[:2]))


def _first(value: Any) -> float:
    """The first of a data element's values."""
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
