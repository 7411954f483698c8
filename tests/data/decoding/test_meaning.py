"""What a pixel means: every kind of number and channel becomes the right color, or is refused with the reason."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from fedray.data import StoreError
from fedray.data.decoding import Asked, DecodeError, Origin, decode_tile
from tests.support.pictures import SIZE, chunk, color, grey, greys, stripes, write_png, write_tiff

Write = Callable[[Path], Path]
RGB = [(10, 20, 30), (200, 100, 0)]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tif(values: Any, **options: Any) -> Write:
    return lambda folder: write_tiff(folder / "image.tif", values, **options)


def png(values: Any, **options: Any) -> Write:
    return lambda folder: write_png(folder / "image.png", values, **options)


def pil(mode: str, name: str = "image.tif", values: Any = None, **options: Any) -> Write:
    def write(folder: Path) -> Path:
        image = Image.fromarray(color(*RGB) if values is None else values)
        image = image.quantize(4) if mode == "P" else image.convert(mode) if mode else image
        image.save(folder / name, **options)
        return folder / name

    return write


def raw(name: str, content: bytes) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


TWELVE = (0, 1024, 2048, 4095)
AS_TWELVE = greys(0, 64, 128, 255)
SIXTEEN = (0, 1000, 32896, 65535)
AS_SIXTEEN = greys(0, 4, 128, 255)
NONE = Asked()
BITS = Asked(bits=12)


@pytest.mark.parametrize(
    ("write", "asked", "expected"),
    [
        # 16 bits used to the full, in every layout.
        (png(grey(*SIXTEEN, dtype=np.uint16)), NONE, AS_SIXTEEN),
        (tif(grey(*SIXTEEN, dtype=np.uint16)), NONE, AS_SIXTEEN),
        (tif(grey(*SIXTEEN, dtype=">u2"), byteorder=">"), NONE, AS_SIXTEEN),
        (tif(grey(*SIXTEEN, dtype=np.uint16), compression="lzw", predictor=True), NONE, AS_SIXTEEN),
        (tif(grey(*SIXTEEN, dtype=np.uint16), photometric="miniswhite"), NONE, greys(255, 251, 127, 0)),
        (png(color((257, 514, 65535), (0, 32896, 1000), dtype=np.uint16)), NONE, [(1, 2, 255), (0, 128, 4)]),
        (png(color((0, 65535), (257, 0), dtype=np.uint16)), NONE, greys(0, 255)),
        (raw("i.jp2", imagecodecs.jpeg2k_encode(grey(*SIXTEEN, dtype=np.uint16), level=0)), NONE, AS_SIXTEEN),
        (raw("i.pgm", b"P5 48 48 65535\n" + grey(*SIXTEEN, dtype=">u2").tobytes()), NONE, AS_SIXTEEN),
        # 12 bits in 16, as the user says.
        (png(grey(*TWELVE, dtype=np.uint16)), BITS, AS_TWELVE),
        (tif(grey(*TWELVE, dtype=np.uint16)), BITS, AS_TWELVE),
        (tif(grey(*TWELVE, dtype=np.uint16), photometric="miniswhite"), BITS, greys(255, 191, 127, 0)),
        (tif(grey(*TWELVE, dtype=np.uint32)), BITS, AS_TWELVE),
        (png(color((4095, 16, 2048), (0, 0, 4095), dtype=np.uint16)), BITS, [(255, 1, 128), (0, 0, 255)]),
        (tif(color((4095, 16, 2048), (0, 0, 4095), dtype=np.uint16)), BITS, [(255, 1, 128), (0, 0, 255)]),
        (png(color((4095, 65535), (4095, 0), dtype=np.uint16)), BITS, greys(255)),
        (png(grey(0, 255, dtype=np.uint16)), Asked(bits=8), greys(0, 255)),
        (png(grey(0, 7, dtype=np.uint8)), Asked(bits=3), greys(0, 255)),
        (pil("", "image.png"), BITS, RGB),
        (pil("", "image.png"), Asked(value_range=(0, 4095)), RGB),
        # What the format declares, right-aligned or stretched as the PNG standard asks.
        (png(grey(*TWELVE, dtype=np.uint16), significant=(12,)), NONE, AS_TWELVE),
        (png(grey(*[v << 4 for v in TWELVE], dtype=np.uint16), significant=(12,)), NONE, AS_TWELVE),
        (png(grey(*[v << 4 | v >> 8 for v in TWELVE], dtype=np.uint16), significant=(12,)), NONE, AS_TWELVE),
        (png(grey(*[round(v * 65535 / 4095) for v in TWELVE], dtype=np.uint16), significant=(12,)), NONE, AS_TWELVE),
        (png(color((4095, 17, 2048), (1, 0, 4095), dtype=np.uint16), significant=(12, 10, 12)), NONE,
         [(255, 1, 128), (0, 0, 255)]),
        (png(grey(*SIXTEEN, dtype=np.uint16), significant=(16,)), NONE, AS_SIXTEEN),
        (tif(grey(*TWELVE, dtype=np.uint16), extratags=[(281, 3, 1, 4095, True)]), NONE, AS_TWELVE),
        (tif(grey(0, 3817, dtype=np.uint16), extratags=[(281, 3, 1, 3817, True)]), NONE, greys(0, 238)),
        (tif(grey(*TWELVE, dtype=np.uint16), extratags=[(341, 3, 1, 4095, True)]), NONE, AS_TWELVE),
        (tif(grey(0, 0.5, 1, dtype=np.float32), extratags=[(340, 11, 1, 0.0, True), (341, 11, 1, 1.0, True)]), NONE,
         greys(0, 128, 255)),
        (raw("i.jp2", imagecodecs.jpeg2k_encode(grey(*TWELVE, dtype=np.uint16), bitspersample=12, level=0)), NONE,
         AS_TWELVE),
        (raw("i.pgm", b"P5 # twelve\n48 48 4095\n" + grey(*TWELVE, dtype=">u2").tobytes()), NONE, AS_TWELVE),
        (raw("i.pgm", b"P5 # twelve\n48 48 4095\n" + grey(*TWELVE, dtype=">u2").tobytes()), BITS, AS_TWELVE),
        # Numbers that need a range.
        (tif(grey(0, 0.5, 1, dtype=np.float32)), Asked(value_range=(0, 1)), greys(0, 128, 255)),
        (tif(grey(-200, 40, 300, dtype=np.int16)), Asked(value_range=(-160, 240)), greys(0, 128, 255)),
        (tif(grey(0, 70_000, 140_000, dtype=np.uint32)), Asked(value_range=(0, 140_000)), greys(0, 128, 255)),
        (tif(grey(0, 70_000, 140_000, dtype=np.float64)), Asked(value_range=(0, 140_000)), greys(0, 128, 255)),
        # Channels and modes.
        (tif(color(*RGB).transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"), NONE, RGB),
        (tif(color(*RGB), photometric="rgb", tile=(16, 16), compression="zlib"), NONE, RGB),
        (tif(color((10, 20, 30, 255), (10, 20, 30, 0)), photometric="rgb", extrasamples=["unassalpha"]), NONE,
         [(10, 20, 30), (255, 255, 255)]),
        (tif(color((10, 20, 30, 255), (1, 2, 3, 255)), photometric="rgb", extrasamples=["unspecified"]), NONE,
         [(10, 20, 30), (1, 2, 3)]),
        (tif(grey(0, 1, dtype=bool)), NONE, greys(255, 0)),
        (tif(grey(0, 1, dtype=bool), photometric="minisblack"), NONE, greys(0, 255)),
        (tif(grey(0, 77, 255), photometric="miniswhite"), NONE, greys(255, 178, 0)),
        (pil("1", values=grey(0, 255)), NONE, greys(0, 255)),
        (pil("P"), NONE, RGB),
        (pil("P", "image.png"), NONE, RGB),
        (pil("P", "image.gif"), NONE, RGB),
        (pil("LA", values=grey(0, 77)), NONE, greys(0, 77)),
        (pil("LA", "image.png", values=grey(0, 77)), NONE, greys(0, 77)),
        (pil("", "image.png", color((10, 20, 30, 255), (10, 20, 30, 0))), NONE, [(10, 20, 30), (255, 255, 255)]),
        (pil("", "image.webp", color((10, 20, 30, 255), (10, 20, 30, 0)), lossless=True), NONE,
         [(10, 20, 30), (255, 255, 255)]),
        (pil("", "image.png", grey(0, 77), transparency=77), NONE, greys(0, 255)),
        (tif(color((0, 255, 255, 0), (0, 0, 0, 255)), photometric="separated"), NONE, [(255, 0, 0), (0, 0, 0)]),
        (pil("", "image.bmp"), NONE, RGB),
        (pil("", "image.dib"), NONE, RGB),
        (pil("", "image.ppm"), NONE, RGB),
        (pil("", "image.jp2", irreversible=False), NONE, RGB),
        (pil("", "image.png", icc_profile=ICC), NONE, RGB),
    ],
)  # fmt: skip
def test_right(tmp_path: Path, write: Write, asked: Asked, expected: list[tuple[int, ...]]) -> None:
    assert stripes(decode_tile(write(tmp_path), SIZE, asked)) == expected


@pytest.mark.parametrize("write", [
    tif(color(*RGB), photometric="rgb", compression="jpeg", compressionargs={"level": 100}),
    tif(color(*RGB), photometric="rgb", compression="jpeg", compressionargs={"level": 100}, subsampling=(1, 1)),
    pil("YCbCr"),
    pil("", "image.tif", compression="jpeg", quality=100),
    pil("", "image.jfif", format="JPEG", quality=100),
    pil("", "image.jpe", format="JPEG", quality=100, subsampling=0),
    pil("CMYK", "image.jpg", quality=100),
    pil("", "image.avif", quality=100),
])  # fmt: skip
def test_right_to_a_few_steps(tmp_path: Path, write: Write) -> None:
    pixels = decode_tile(write(tmp_path), SIZE).pixels.astype(int)
    assert np.abs(pixels[:, [2, -3]] - RGB).max() <= 6


@pytest.mark.parametrize(
    ("write", "asked", "reason"),
    [
        (tif(grey(0, 5000, dtype=np.uint16)), BITS, "must be in 0 to 4095, as asked for, but are in 0 to 5000"),
        (png(grey(0, 5001, dtype=np.uint16), significant=(12,)), NONE, "12 of its 16 bits .*values up to 5001"),
        (tif(grey(0, 5000, dtype=np.uint16), extratags=[(281, 3, 1, 4095, True)]), NONE, "as its tags say.* 0 to 5000"),
        (png(color((1, 2, 3), (4, 5, 6), dtype=np.uint16), transparent=b"\0\1\0\2\0\3"), NONE, "tRNS"),
        (tif(grey(0, 0.5, dtype=np.float32)), NONE, r"floating-point .*these are 0 to 0\.5.*--value-range"),
        (tif(grey(0, 0.5, dtype=np.float32)), BITS, "--value-range"),
        (tif(grey(0, np.nan, dtype=np.float32)), Asked(value_range=(0, 1)), "not finite"),
        (tif(grey(0, np.inf, dtype=np.float64)), Asked(value_range=(0, 1)), "not finite"),
        (tif(grey(-5, 300, dtype=np.int16)), NONE, "signed pixels .*these are -5 to 300"),
        (tif(grey(-5, 30, dtype=np.int8)), BITS, "signed pixels"),
        (tif(grey(0, 70_000, dtype=np.uint32)), NONE, "32-bit pixels .*these are 0 to 70000"),
        (tif(grey(0, 70_000, dtype=np.uint32)), BITS, "0 to 70000"),
        (tif(grey(0, 1, dtype=np.complex64)), NONE, "complex"),
        (tif(color((1, 2), (3, 4)), photometric="minisblack", planarconfig="contig"), NONE, "2 channels"),
        (tif(color(*RGB), photometric="minisblack", planarconfig="contig"), NONE, "3 channels"),
        (tif(color((1, 2, 3, 4)), photometric="minisblack", planarconfig="contig"), NONE, "4 channels"),
        (tif(color((1, 2, 3, 4)), photometric="rgb", extrasamples=["unspecified"]), NONE, "declares 3 .*unspecified"),
        (tif(color((1, 2, 3, 4)), photometric="rgb", extrasamples=["assocalpha"]), NONE, "assocalpha"),
        (tif(color((1, 2, 3, 4, 5)), photometric="minisblack", planarconfig="contig"), NONE, "5 channels"),
        (tif(color((1, 2, 3, 4, 5)), photometric="rgb", planarconfig="contig"), NONE, "5 channels"),
        (tif(color(*RGB), photometric="cielab"), NONE, "CIELAB"),
        (tif(color(*RGB), photometric="ycbcr", extratags=[(529, 5, 3, (1, 2, 1, 2, 1, 2), True)]), NONE, "YCbCr"),
        (tif(color((1, 2, 3, 4), dtype=np.uint16), photometric="separated"), NONE, "SEPARATED"),
        (pil("CMYK", "image.jpg", icc_profile=ICC), NONE, "colour profile"),
        (pil("CMYK", "image.tif", icc_profile=ICC), NONE, "colour profile"),
        (raw("i.jp2", imagecodecs.jpeg2k_encode(grey(0, 9, dtype=np.int16), level=0)), NONE, "signed"),
        (raw("i.heic", b"\0\0\0\x18ftypheic" + bytes(40)), NONE, "HEIC is not read; save it as PNG or TIFF"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, write: Write, asked: Asked, reason: str) -> None:
    path = write(tmp_path)
    with pytest.raises(DecodeError, match=reason) as error:
        decode_tile(path, SIZE, asked)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (tif(np.zeros((3, 32, 32), np.uint8), photometric="minisblack"), "3 pages"),
        (lambda folder: _pyramid(folder, subifds=False), r"3 pages \(256 x 256, 128 x 128, 64 x 64 .*scanner \(svs\)"),
        (lambda folder: _pyramid(folder, subifds=True), "1 page .* 2 reduced ones"),
        (lambda folder: _planes_behind_one_page(folder), "stack of 5 planes"),
        (lambda folder: _frames(folder / "film.gif"), "3 frames"),
        (lambda folder: _frames(folder / "film.webp"), "3 frames"),
        (lambda folder: _frames(folder / "film.png"), "3 frames"),
        (lambda folder: _frames(folder / "film.avif"), "3 frames"),
        (lambda folder: _large_png(folder, 12_000), "12000 x 12000 = 144 megapixels.*jobs/cut_tiles.py"),
        (lambda folder: _large_png(folder, 60_000), "more than 179 megapixels.*jobs/cut_tiles.py"),
        (lambda folder: _large_tiff(folder), "20000 x 20000 = 400 megapixels.*jobs/cut_tiles.py"),
        (raw("slide.svs", b"II*\0"), "slide scanner's format.*jobs/cut_tiles.py"),
        (raw("slide.vsi", b"II*\0"), "slide scanner's format that is not read; export the slide as TIFF"),
        (raw("slide.mrxs", b"\xff\xd8\xff"), "slide scanner's format.*jobs/cut_tiles.py"),
    ],
)  # fmt: skip
def test_what_is_not_one_picture_is_refused_with_what_it_is(tmp_path: Path, write: Write, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_tile(write(tmp_path), SIZE)


def _pyramid(folder: Path, subifds: bool) -> Path:
    with tifffile.TiffWriter(folder / "pyramid.tif") as file:
        for level, edge in enumerate((256, 128, 64)):
            reduced = {"subfiletype": 1} if level else {"subifds": 2 if subifds else 0}
            text = {} if level else {"description": "Aperio Image Library v11 |AppMag = 20|MPP = 0.5"}
            pixels = np.zeros((edge, edge, 3), np.uint8)
            file.write(pixels, photometric="rgb", tile=(64, 64), metadata=None, **reduced, **text)
    return folder / "pyramid.tif"


def _planes_behind_one_page(folder: Path) -> Path:
    tifffile.imwrite(folder / "stack.tif", np.zeros((5, 32, 32), np.uint8), truncate=True)
    return folder / "stack.tif"


def _frames(path: Path) -> Path:
    frames = [Image.new("L", (32, 32), value) for value in (0, 100, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _large_png(folder: Path, edge: int) -> Path:
    """A valid header of a large image; its size is refused before a pixel is read."""
    Image.new("L", (32, 32)).save(folder / "large.png")
    data = bytearray((folder / "large.png").read_bytes())
    data[16:24] = edge.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (folder / "large.png").write_bytes(data)
    return folder / "large.png"


def _large_tiff(folder: Path) -> Path:
    write_tiff(folder / "large.tif", np.zeros((32, 32), np.uint8))
    with tifffile.TiffFile(folder / "large.tif", mode="r+b") as file:
        file.pages.first.tags["ImageWidth"].overwrite(20_000)
        file.pages.first.tags["ImageLength"].overwrite(20_000)
    return folder / "large.tif"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["turned.png", "turned.jpg", "turned.tif", "turned.webp", "deep.png"])
def test_the_orientation_is_applied_in_every_format(tmp_path: Path, name: str, orientation: int) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8).repeat(6, 0).repeat(6, 1) * 3
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name == "deep.png":
        data = imagecodecs.png_encode(values.astype(np.uint16) * 257)
        at = data.index(b"IDAT") - 4
        block = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        (tmp_path / name).write_bytes(data[:at] + block + data[at:])
    elif name == "turned.tif":
        write_tiff(tmp_path / name, values, extratags=[(0x0112, 3, 1, orientation, True)])
    else:
        Image.fromarray(values).save(
            tmp_path / name, exif=exif, quality=100, **({"lossless": True} if "webp" in name else {})
        )
    turned = {
        1: values, 2: values[:, ::-1], 3: values[::-1, ::-1], 4: values[::-1], 5: values.T, 6: np.rot90(values, -1),
        7: values[::-1, ::-1].T, 8: np.rot90(values),
    }[orientation]  # fmt: skip
    assert np.abs(decode_tile(tmp_path / name, SIZE).pixels[..., 0].astype(int) - turned).max() <= 2


def test_the_photograph_of_a_phone_with_a_preview_behind_it_is_taken(tmp_path: Path) -> None:
    photograph = Image.fromarray(color(*RGB))
    preview = Image.new("RGB", (8, 8))
    photograph.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[preview], quality=100)
    tile = decode_tile(tmp_path / "phone.jpg", SIZE)
    assert (tile.width, tile.height) == (SIZE, SIZE)
    assert np.abs(tile.pixels[:, [2, -3]].astype(int) - RGB).max() <= 6


def test_a_colour_profile_is_named_and_left_alone(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(color(*RGB)).save(tmp_path / "image.png", icc_profile=profile)
    write_tiff(tmp_path / "image.tif", color(*RGB), photometric="rgb", iccprofile=profile)
    for name in ("image.png", "image.tif"):
        tile = decode_tile(tmp_path / name, SIZE)
        assert tile.profile and stripes(tile) == RGB
    Image.fromarray(color(*RGB)).save(tmp_path / "image.png", icc_profile=ICC)
    assert decode_tile(tmp_path / "image.png", SIZE).profile == ""


def test_the_range_and_where_it_comes_from_are_told(tmp_path: Path) -> None:
    path = write_png(tmp_path / "image.png", grey(3, 4000, dtype=np.uint16))
    found = decode_tile(path, SIZE).values
    assert (found.bits, found.lowest, found.highest, found.scale.origin) == (16, 3, 4000, Origin.ASSUMED)
    assert decode_tile(path, SIZE, BITS).values.scale.origin is Origin.ASKED
    write_png(path, grey(3, 4000, dtype=np.uint16), significant=(12,))
    assert decode_tile(path, SIZE, BITS).values.scale.origin is Origin.DECLARED


@pytest.mark.parametrize(
    "wrong",
    [{"bits": 0}, {"bits": 33}, {"value_range": (5, 5)}, {"value_range": (0, np.inf)}, {"value_range": (0, np.nan)}],
)
def test_wrong_ranges_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match=f"{next(iter(wrong))} must be"):
        Asked(**wrong)
    with pytest.raises(StoreError, match="give one of them"):
        Asked(bits=12, value_range=(0, 1))
