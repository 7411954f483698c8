"""The same picture in every format is the same slide; what cannot be read for certain is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from fedray.data.slides.opening import open_slide
from fedray.data.slides.slide import Region, SlideError
from tests.support.slides import (
    FORMATS,
    MPP,
    TISSUE,
    Picture,
    slide_picture,
    smaller,
    write_ome,
    write_svs,
    write_tiff,
)

SlideFile = Callable[[str], Path]
LEVELS = {"mirax": 2, "strips": 1, "planes": 1, "12 bits": 1}
"""Levels, where they are not 2; MIRAX's second one is half as large, the others' a quarter."""


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_pixels_at_the_same_places(
    slide_file: SlideFile, picture: Picture, name: str
) -> None:
    with open_slide(slide_file(name), bits=12 if name == "12 bits" else None) as slide:
        assert (slide.levels[0].width, slide.levels[0].height) == (1024, 768)
        assert slide.levels[0].mpp == pytest.approx((MPP, MPP))
        assert len(slide.levels) >= LEVELS.get(name, 2)
        for region in (Region(300, 200, 400, 300), Region(0, 256, 1024, 512), Region(1023, 767, 1, 1)):
            left, top, width, height = region
            expected = picture[top : top + height, left : left + width]
            difference = np.abs(slide.read(0, region).astype(int) - expected)
            assert difference.mean() < 1.5 and difference.max() < 60, region
        if len(slide.levels) > 1:
            factor = round(slide.levels[1].mpp[0] / MPP)
            coarse = slide.read(1, Region(40, 30, 80, 60)).astype(int)
            expected = smaller(picture, factor)[30:90, 40:120]
            assert np.abs(coarse - expected).mean() < 4


@pytest.mark.parametrize("name", ["lossless", "planes"])
def test_lossless_slides_are_exact(slide_file: SlideFile, picture: Picture, name: str) -> None:
    with open_slide(slide_file(name)) as slide:
        np.testing.assert_array_equal(slide.read(0, Region(0, 0, 1024, 768)), picture)


def test_12_of_16_bits_come_out_as_they_are_seen(slide_file: SlideFile, picture: Picture) -> None:
    """OpenSlide opens the same file and hands out the upper 8 bits: a nearly black slide."""
    with openslide.OpenSlide(str(slide_file("12 bits"))) as dark:
        assert np.asarray(dark.read_region((0, 0), 0, (64, 64)))[..., :3].max() < 16
    with open_slide(slide_file("12 bits"), bits=12) as slide:
        np.testing.assert_array_equal(slide.read(0, Region(0, 0, 1024, 768)), picture)


def test_all_levels_of_a_pyramid_in_subifds_are_found(slide_file: SlideFile) -> None:
    with openslide.OpenSlide(str(slide_file("ome"))) as one:
        assert one.level_count == 1
    with open_slide(slide_file("ome")) as slide:
        assert [level.mpp[0] for level in slide.levels] == [MPP, 4 * MPP]


def test_what_was_not_scanned_is_glass(slide_file: SlideFile) -> None:
    """MIRAX leaves out what holds no tissue: transparent, and black if nobody looks."""
    with open_slide(slide_file("mirax")) as slide:
        np.testing.assert_array_equal(slide.read(0, Region(0, 0, 100, 50)), 255)


@pytest.mark.parametrize(("unit", "size"), [("nm", 500.0), ("mm", 0.0005), ("µm", 0.5)])
def test_units_of_ome_are_read(tmp_path: Path, picture: Picture, unit: str, size: float) -> None:
    with open_slide(write_ome(tmp_path / "a.ome.tif", picture, unit, size)) as slide:
        assert slide.levels[0].mpp == pytest.approx((0.5, 0.5))


def gray(picture: Picture) -> Picture:
    return picture[..., 0]


def with_alpha(picture: Picture) -> Picture:
    return np.dstack([picture, picture[..., 0]])


REFUSED: dict[str, tuple[Callable[[Path, Picture], object], str]] = {
    "no resolution": (
        lambda path, p: write_tiff(path, p, None, resolutionunit="NONE"),
        "states no resolution; .*--mpp",
    ),
    "objective alone": (
        lambda path, p: write_tiff(path, p, None, description="Aperio Image Library v11\r\n1024x768|AppMag = 20"),
        r"states no resolution \(only that its objective has 20x\); .*--mpp",
    ),
    "72 dpi": (lambda path, p: write_tiff(path, p, 25400 / 72), "352.8 x 352.8 um per pixel, which no slide scanner"),
    "300 dpi": (lambda path, p: write_tiff(path, p, 25400 / 300), "84.67 x 84.67 um per pixel, which no"),
    "unit pixel": (lambda path, p: write_ome(path, p, "pixel"), "states no resolution"),
    "12 in 16 bits": (
        lambda path, p: write_tiff(path, p.astype(np.uint16) * 16, factors=(1,), compression="deflate"),
        "--bits",
    ),
    "svs of 16 bits": (
        lambda path, p: write_svs(path, p.astype(np.uint16) * 16, factors=(1,), compression="deflate"),
        r"16 bits? a sample|\(16, 16, 16\) bits a sample",
    ),
    "float": (
        lambda path, p: write_tiff(path, p.astype(np.float32), factors=(1,), compression="deflate"),
        "8 or 16 bits .* float32",
    ),
    "gray": (
        lambda path, p: write_tiff(path, gray(p), photometric="minisblack"),
        "one RGB image, but holds the axes YX",
    ),
    "alpha": (
        lambda path, p: write_tiff(path, with_alpha(p), extrasamples=["unassalpha"], compression="deflate"),
        "must be RGB, but has 4 samples",
    ),
    "stack": (
        lambda path, p: write_tiff(path, np.stack([p, p, p]), factors=(1,)),
        r"one RGB image, but holds the axes .YXS of the sizes \(3, 768",
    ),
    "channels": (
        lambda path, p: write_tiff(path, np.moveaxis(p, -1, 0), factors=(1,), photometric="minisblack"),
        "one RGB image",
    ),
    "two scenes": (
        lambda path, p: _write_scenes(path, [p, p[:700]]),
        "2 images of similar size",
    ),
    "pieces missing": (
        lambda path, p: _change_tag(write_tiff(path, p, factors=(1,)), "ImageWidth", 9000),
        "must have 108 pieces for its size, but has 12",
    ),
    "larger than glass": (
        lambda path, p: write_tiff(path, np.full((48, 40_000, 3), 243, np.uint8), 9.0, factors=(1,)),
        r"40,000 x 48 pixels of 9 um, which is 360 mm",
    ),
    "mirrored": (
        lambda path, p: write_tiff(path, p, extratags=[(274, "H", 1, 3, True)]),
        "rotated or mirrored",
    ),
    "PNG": (lambda path, p: Image.fromarray(p).save(path, "PNG"), r"is no slide .*jobs/prepare_data\.py"),
    "text": (lambda path, p: path.write_text("not a slide"), "is no slide"),
    "empty": (lambda path, p: path.write_bytes(b""), "is no slide"),
    "absent": (lambda path, p: None, "there is no slide"),
    "cut short": (lambda path, p: path.write_bytes(write_tiff(path, p).read_bytes()[:64]), "cannot open|is no slide"),
}


def _write_scenes(path: Path, scenes: list[Picture]) -> None:
    with tifffile.TiffWriter(path) as file:
        for scene in scenes:
            file.write(scene, metadata=None)


def _change_tag(path: Path, name: str, value: int) -> None:
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags[name].overwrite(value)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_for_certain_is_refused(tmp_path: Path, picture: Picture, name: str) -> None:
    write, message = REFUSED[name]
    write(tmp_path / "slide.tif", picture)
    with pytest.raises(SlideError, match=message) as refused:
        open_slide(tmp_path / "slide.tif")
    assert str(tmp_path / "slide.tif") in str(refused.value) and "\n" not in str(refused.value)


def test_pieces_too_large_for_memory_are_refused(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedray.data.slides.with_tifffile.MAX_SEGMENT_BYTES", 1_000_000)
    write_tiff(tmp_path / "a.tif", picture, tile=None, rowsperstrip=768, factors=(1,))
    with pytest.raises(SlideError, match=r"pieces of 1024 x 768 pixels, too large .* vips tiffsave"):
        open_slide(tmp_path / "a.tif")


def test_the_users_resolution_counts_where_the_file_states_none_that_can_be(tmp_path: Path, picture: Picture) -> None:
    with open_slide(write_tiff(tmp_path / "none.tif", picture, None, resolutionunit="NONE"), mpp=0.25) as slide:
        assert slide.levels[0].mpp == (0.25, 0.25)
    with open_slide(write_tiff(tmp_path / "dpi.tif", picture, 25400 / 72), mpp=0.25) as slide:
        assert slide.levels[0].mpp == (0.25, 0.25)
    with open_slide(write_tiff(tmp_path / "stated.tif", picture, 0.4), mpp=0.25) as slide:
        assert slide.levels[0].mpp == pytest.approx((0.4, 0.4)), "what a scanner wrote is not overruled"


def test_values_above_the_given_bits_are_refused(slide_file: SlideFile) -> None:
    with open_slide(slide_file("12 bits"), bits=10) as slide, pytest.raises(SlideError, match=r"value \d+, .* 1023"):
        slide.read(0, Region(0, 0, 64, 64))


@pytest.mark.parametrize("name", ["tiff", "svs"])
def test_a_damaged_place_is_named_and_the_others_can_be_read(
    slide_file: SlideFile, picture: Picture, tmp_path: Path, name: str
) -> None:
    content = bytearray(slide_file(name).read_bytes())
    with tifffile.TiffFile(slide_file(name)) as file:
        page = file.pages.first
        offset, count = (page.dataoffsets[-1], page.databytecounts[-1])
    content[offset : offset + count] = bytes(count)
    damaged = tmp_path / slide_file(name).name
    damaged.write_bytes(content)
    with open_slide(damaged) as slide:
        for _ in range(2):
            with pytest.raises(SlideError, match=f"cannot read the slide {damaged}"):
                slide.read(0, Region(1000, 700, 10, 10))
            sound = slide.read(0, Region(130, 130, 50, 50)).astype(int)
            assert np.abs(sound - picture[130:180, 130:180]).mean() < 2


@pytest.mark.parametrize("name", ["tiff", "svs", "ndpi", "mirax", "dicom", "ome", "lossless"])
def test_damaged_bytes_never_end_in_a_foreign_exception(picture: Picture, tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(0)
    slide_path = FORMATS[name](tmp_path, picture)
    refused = 0
    for file in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        sound = file.read_bytes()
        damaged = [sound[: len(sound) // 2]]
        for begin, end in ((0, min(600, len(sound))), (0, len(sound)), (max(0, len(sound) - 900), len(sound))):
            content = bytearray(sound)
            for place in random.integers(begin, end, 8):
                content[place] = random.integers(256)
            damaged.append(bytes(content))
        for content in damaged:
            file.write_bytes(content)
            try:
                with open_slide(slide_path, mpp=MPP) as slide:
                    for index, level in enumerate(slide.levels[:2]):
                        slide.read(index, Region(0, 0, min(level.width, 1024), min(level.height, 768)))
            except SlideError as error:
                refused += 1
                assert str(tmp_path) in str(error) and "\n" not in str(error)
        file.write_bytes(sound)
    assert refused


def test_the_picture_has_tissue_and_glass() -> None:
    picture = slide_picture()
    assert picture[TISSUE].std() > 20 and picture[:128].std() == 0
