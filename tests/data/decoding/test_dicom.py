"""DICOM: what a viewer would show, or a refusal with the reason; and whose picture it is."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from fedray.data.decoding import Asked, DecodeError, Origin, decode_tile, patient_group
from fedray.data.decoding.dicom import BURNT_IN, _pydicom
from tests.support.dicoms import compress, lookup_table, make_dicom, palette, write_dicom
from tests.support.pictures import SIZE, color, grey, greys, stripes

NONE = Asked()
TWELVE = grey(0, 1024, 2048, 4095, dtype=np.uint16)
SIGNED = grey(-2048, -1024, 0, 2047, dtype=np.int16)
RGB = [(10, 20, 30), (200, 100, 0)]
WINDOW = {"WindowCenter": 40, "WindowWidth": 400}
COLORS = [(0, 0, 0), (200, 100, 0), (10, 20, 30)]


@pytest.mark.parametrize(
    ("values", "elements", "asked", "expected"),
    [
        (TWELVE, {"BitsStored": 12}, NONE, greys(0, 64, 128, 255)),
        (TWELVE, {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}, NONE, greys(255, 191, 127, 0)),
        (TWELVE, {}, Asked(bits=12), greys(0, 64, 128, 255)),
        (grey(0, 77, 255), {}, NONE, greys(0, 77, 255)),
        (grey(0, 77, 255), {"PhotometricInterpretation": "MONOCHROME1"}, NONE, greys(255, 178, 0)),
        (SIGNED, {"BitsStored": 12}, NONE, greys(0, 64, 128, 255)),
        (SIGNED, {"BitsStored": 12, "RescaleSlope": 2, "RescaleIntercept": -1024}, NONE, greys(0, 64, 128, 255)),
        # A negative slope turns the order of the values; so does no window.
        (TWELVE, {"BitsStored": 12, "RescaleSlope": -1, "RescaleIntercept": 4095}, NONE, greys(255, 191, 127, 0)),
        (TWELVE, {"BitsStored": 12, "RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2048,
                  "WindowWidth": 4096}, NONE, greys(255, 191, 127, 0)),
        # Windows: of a CT in Hounsfield units, exact, narrow, two of them, and the user's own range before them.
        (grey(-1000, -160, 40, 240, dtype=np.int16), WINDOW, NONE, greys(0, 128, 255)),
        (grey(0, 864, 1064, 1264, dtype=np.uint16), {**WINDOW, "RescaleSlope": 1, "RescaleIntercept": -1024}, NONE,
         greys(0, 128, 255)),
        (grey(-160, 40, 240, dtype=np.int16), {**WINDOW, "VOILUTFunction": "LINEAR_EXACT"}, NONE, greys(0, 128, 255)),
        (grey(39, 40, 41, dtype=np.int16), {"WindowCenter": 40, "WindowWidth": 1}, NONE, greys(0, 255)),
        (grey(-160, 40, 240, dtype=np.int16), {"WindowCenter": [40, 500], "WindowWidth": [400, 9]}, NONE,
         greys(0, 128, 255)),
        (grey(-300, 50, 400, dtype=np.int16), WINDOW, Asked(value_range=(-300, 400)), greys(0, 128, 255)),
        (grey(-3000, 40, 3000, dtype=np.int16), {**WINDOW, "VOILUTFunction": "SIGMOID"}, NONE, greys(0, 128, 255)),
        (grey(-160, 240, dtype=np.int16), {**WINDOW, "PhotometricInterpretation": "MONOCHROME1"}, NONE, greys(255, 0)),
        # Look-up tables.
        (grey(0, 1, 2), {"VOILUTSequence": [lookup_table([0, 1000, 4095], bits=12)]}, NONE, greys(0, 62, 255)),
        (grey(0, 1, 2), {"ModalityLUTSequence": [lookup_table([0, 30000, 65535])]}, NONE, greys(0, 117, 255)),
        # Colours.
        (color(*RGB), {}, NONE, RGB),
        (color(*RGB).transpose(2, 0, 1).copy(), {"PlanarConfiguration": 1, "Rows": SIZE, "Columns": SIZE,
                                                 "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, NONE, RGB),
        (color((0, 128, 128), (255, 128, 128)), {"PhotometricInterpretation": "YBR_FULL"}, NONE, greys(0, 255)),
        (color((76, 85, 255)), {"PhotometricInterpretation": "YBR_FULL"}, NONE, [(254, 0, 0)]),
        (color((0, 65535, 257), dtype=np.uint16), {}, NONE, [(0, 255, 1)]),
        (grey(0, 1, 2), palette([tuple(v * 257 for v in c) for c in COLORS]), NONE, COLORS),
        (grey(0, 1, 2), palette([tuple(v * 256 for v in c) for c in COLORS]), NONE, COLORS),
        (grey(0, 1, 2), palette(COLORS), NONE, COLORS),
        (grey(2, 1, dtype=np.uint16), palette([tuple(v * 257 for v in c) for c in COLORS]), NONE, COLORS[:0:-1]),
    ],
)  # fmt: skip
def test_right(
    tmp_path: Path, values: Any, elements: dict[str, Any], asked: Asked, expected: list[tuple[int, ...]]
) -> None:
    assert stripes(decode_tile(write_dicom(tmp_path / "image", values, **elements), SIZE, asked)) == expected


@pytest.mark.parametrize(
    ("values", "elements", "reason"),
    [
        (np.zeros((3 * SIZE, SIZE), np.uint8), {"NumberOfFrames": 3, "Rows": SIZE}, "film or a volume of 3 frames"),
        (grey(0), {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"}, r"slide \(1 frame\).*jobs/cut_tiles.py"),
        (TWELVE, {"BitsStored": 10}, "must be in 0 to 1023, as the file says, but are in 0 to 4095"),
        (TWELVE, {"BitsStored": 12, "HighBit": 15}, "12 bits end at bit 15"),
        (color(*RGB), {"PhotometricInterpretation": "HSV"}, "colours are HSV"),
        (color(*RGB), {"PhotometricInterpretation": "YBR_PARTIAL_422"}, "colours are YBR_PARTIAL_422"),
        (TWELVE, {**WINDOW, "VOILUTFunction": "CUBIC"}, "window has the function CUBIC"),
        (TWELVE, {"WindowCenter": 40, "WindowWidth": 0}, "window has the width 0"),
        (TWELVE, {"RescaleSlope": 0, "RescaleIntercept": 4}, "rescale slope is 0"),
        (grey(0), {"Rows": 12_000, "Columns": 12_000}, "144 megapixels"),
        (grey(0), {"Rows": 500}, "less than expected"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, values: Any, elements: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_tile(write_dicom(tmp_path / "image.dcm", values, **elements), SIZE)


def test_all_bits_of_a_type_are_an_assumption_and_fewer_are_a_declaration(tmp_path: Path) -> None:
    for bits, origin in ((16, Origin.ASSUMED), (12, Origin.DECLARED)):
        path = write_dicom(tmp_path / "image.dcm", TWELVE, BitsStored=bits)
        assert decode_tile(path, SIZE).values.scale.origin is origin


@pytest.mark.parametrize(
    "name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_bigendian"]
)
def test_compressed_files_have_the_pixels_of_the_uncompressed_one(name: str) -> None:
    expected = decode_tile(_shipped("MR_small"), 64)
    assert decode_tile(_shipped(name), 64).digest == expected.digest
    dataset = dcmread(_shipped("MR_small"))
    shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = -(2**15), 2**15 - 1
    shown = np.rint((shown - low) / (high - low) * 255)
    assert np.abs(expected.pixels[..., 0] - shown).max() <= 1


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEGLosslessSV1, lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12)),
        (JPEGLSLossless, imagecodecs.jpegls_encode),
        (
            JPEG2000Lossless,
            lambda values: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", bitspersample=12),
        ),
    ],
)
def test_twelve_bits_compressed_without_loss(tmp_path: Path, syntax: UID, encode: Callable[[Any], bytes]) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (SIZE, SIZE), dtype=np.uint16)
    plain = decode_tile(write_dicom(tmp_path / "plain.dcm", values, BitsStored=12), SIZE)
    dataset = compress(make_dicom(values, BitsStored=12), syntax, encode(values))
    dataset.save_as(tmp_path / "small.dcm", enforce_file_format=True)
    assert decode_tile(tmp_path / "small.dcm", SIZE).digest == plain.digest


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk", "SC_rgb_dcmtk_+eb+cy+s2", "SC_rgb_jls_lossy_line", "SC_rgb_rle"])
def test_compressed_colours(name: str) -> None:
    expected = dcmread(_shipped("SC_rgb_rle")).pixel_array[5::10, 50]
    found = decode_tile(_shipped(name), 100).pixels[5::10, 50]
    assert np.abs(found.astype(int) - expected).max() <= 5


def test_what_the_extra_does_not_decompress_is_said() -> None:
    with pytest.raises(DecodeError, match=r"JPEG Extended.*cannot be decoded: .* save it uncompressed"):
        decode_tile(_shipped("JPGExtended"), 64)
    with pytest.raises(DecodeError, match=r"holds no picture \(modality SR\)"):
        decode_tile(_shipped("test-SR"), 64)


def _shipped(name: str) -> Path:
    path = get_testdata_file(f"{name}.dcm", download=False)
    assert isinstance(path, str)
    return Path(path)


def test_burnt_in_text_is_noted(tmp_path: Path) -> None:
    assert decode_tile(write_dicom(tmp_path / "a.dcm", TWELVE, BurnedInAnnotation="YES"), 16).notes == (BURNT_IN,)
    assert decode_tile(write_dicom(tmp_path / "b.dcm", TWELVE, BurnedInAnnotation="NO"), 16).notes == ()


def test_the_patient_is_a_keyed_hash(tmp_path: Path) -> None:
    def group(key: str = "", **elements: str) -> str:
        return patient_group(write_dicom(tmp_path / "i.dcm", TWELVE, **elements), {"FEDRAY_PATIENT_KEY": key})

    anna = group(PatientID="A-17", StudyInstanceUID="1.2")
    assert anna == group(PatientID=" A-17 ", StudyInstanceUID="1.3") and "17" not in anna.split("-")
    assert anna.startswith("patient-") and len(anna) == len("patient-") + 16
    different = {
        group(PatientID="A-18"), group("secret", PatientID="A-17"), group("other", PatientID="A-17"),
        group(PatientID="A-17", IssuerOfPatientID="elsewhere"), group(StudyInstanceUID="1.2"), anna,
    }  # fmt: skip
    assert len(different) == 6
    assert group(StudyInstanceUID="1.2").startswith("study-") and group() == ""
    (tmp_path / "text.dcm").write_text("no DICOM file")
    with pytest.raises(DecodeError, match=r"text\.dcm"):
        patient_group(tmp_path / "text.dcm")


def test_without_the_extra_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "image.dcm", TWELVE)
    _pydicom.cache_clear()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for read in (lambda: decode_tile(path, 16), lambda: patient_group(path)):
        with pytest.raises(DecodeError, match=r"image\.dcm.* the extra: pip install 'fedray\[dicom\]'"):
            read()


def test_a_header_of_a_tiff_file_before_the_mark_changes_nothing(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "image", grey(0, 77))
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    assert stripes(decode_tile(path, SIZE)) == greys(0, 77)


def test_run_lengths(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "image.dcm", TWELVE, BitsStored=12)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    assert stripes(decode_tile(path, SIZE)) == greys(0, 64, 128, 255)
