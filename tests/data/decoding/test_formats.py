from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedray.data.decoding import EXTENSIONS, FORMATS, format_of, is_image

SAVED_AS = {
    "PNG": "PNG", "JPEG": "JPEG", "TIFF": "TIFF", "BMP": "BMP", "DIB": "DIB", "WebP": "WEBP", "GIF": "GIF",
    "JPEG 2000": "JPEG2000", "AVIF": "AVIF", "Netpbm": "PPM",
}  # fmt: skip


@pytest.mark.parametrize(("name", "saved_as"), SAVED_AS.items())
def test_a_format_is_known_by_its_content_whatever_the_files_name(tmp_path: Path, name: str, saved_as: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for file in ("0001", "image.42", "image.txt"):
        Image.fromarray(pixels).save(tmp_path / file, format=saved_as)
        found = format_of(tmp_path / file)
        assert found is not None and found.name == name
        assert is_image(tmp_path / file)


def test_every_format_is_one_that_the_tests_write() -> None:
    assert {known.name for known in FORMATS} == {*SAVED_AS, "DICOM"}


@pytest.mark.parametrize("suffix", [*EXTENSIONS, ".svs", ".ndpi", ".mrxs", ".heic", ".nii.gz", ".PNG", ".Jpeg"])
def test_a_known_ending_is_an_image_even_where_the_content_is_not(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"image{suffix}").write_bytes(b"broken")
    assert is_image(tmp_path / f"image{suffix}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"P",
        b"Patient,label\n",
        b"BOOK",
        b"BMI,age,label\n27,61,nevus\n",
        b"P1,P2\n",
        b"image,label\n",
        b"\0" * 600,
        b"RIFF....WAVE",
    ],
)
def test_other_files_are_no_images(tmp_path: Path, content: bytes) -> None:
    for name in ("metadata.csv", "README", "notes.txt"):
        (tmp_path / name).write_bytes(content)
        assert not is_image(tmp_path / name)
    assert not is_image(tmp_path / "absent")
