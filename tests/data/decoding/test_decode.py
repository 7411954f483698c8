from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from fedray.data.decoding import DecodeError, decode_all, decode_tile

RED = (200, 40, 90)


@pytest.mark.parametrize("extension", ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"])
def test_every_format(tmp_path: Path, extension: str) -> None:
    Image.new("RGB", (40, 30), RED).save(tmp_path / f"image.{extension}")
    tile = decode_tile(tmp_path / f"image.{extension}", 16).pixels
    assert tile.shape == (16, 16, 3) and tile.dtype == np.uint8
    assert np.abs(tile.astype(int) - RED).max() <= 4


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("P", 0, (0, 0, 0)),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 77 * 257, (77, 77, 77)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, color: int, expected: tuple[int, ...]) -> None:
    Image.new(mode, (20, 20), color).save(tmp_path / "image.tif")
    tile = decode_tile(tmp_path / "image.tif", 16).pixels
    np.testing.assert_array_equal(np.unique(tile.reshape(-1, 3), axis=0), [expected])


def test_the_central_square_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    for name, image in {"wide": pixels, "tall": pixels.transpose(1, 0, 2)}.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(decode_tile(tmp_path / "wide.png", 16).pixels, pixels[:, 16:32])
    np.testing.assert_array_equal(decode_tile(tmp_path / "tall.png", 16).pixels, pixels[:, 16:32].transpose(1, 0, 2))


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    checkers = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checkers).save(tmp_path / "checkers.png")
    assert np.abs(decode_tile(tmp_path / "checkers.png", 16).pixels.astype(int) - 127).max() <= 8


def test_the_cameras_orientation_is_applied(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(decode_tile(tmp_path / "turned.png", 16).pixels, pixels[::-1, ::-1])


def test_what_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-500])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    Image.new("F", (20, 20), 0.5).save(tmp_path / "float.tif")
    Image.new("I", (20, 20), 70_000).save(tmp_path / "deep.tif")
    reasons = {
        "cut.jpg": "truncated",
        "text.png": "no image of a known format",
        "empty.png": "the file is empty",
        "float.tif": "no defined range",
        "deep.tif": r"signed pixels have no defined range \(these are 70000 to 70000\); .*--value-range",
    }
    for name, reason in reasons.items():
        with pytest.raises(DecodeError, match=f"{tmp_path / name}: .*{reason}"):
            decode_tile(tmp_path / name, 16)


def test_many_files_keep_their_order_and_their_errors(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(100)]
    for i, path in enumerate(paths):
        Image.new("L", (16, 16), i).save(path)
    paths[50].write_text("no image")
    decoded = list(decode_all(paths, 16))
    assert isinstance(decoded[50], DecodeError)
    values = [int(tile.pixels[0, 0, 0]) for tile in decoded if not isinstance(tile, DecodeError)]
    assert values == [*range(50), *range(51, 100)]


def test_a_consumer_that_stops_ends_the_decoding(tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "image.png")
    tiles = decode_all([tmp_path / "image.png"] * 100_000, 16)
    next(tiles)
    tiles.close()  # type: ignore[attr-defined]
