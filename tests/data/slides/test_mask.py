"""Tissue is what is coloured: by a threshold that neither noise nor a strong stain moves."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fedray.data.slides.mask import MASK_MPP, Overview, find_tissue, read_overview
from fedray.data.slides.opening import open_slide
from tests.support.slides import MPP, TISSUE, Picture, SlideFile, smaller

GLASS, PALE, BROWN, BLACK = (240, 240, 238), (205, 212, 230), (120, 80, 50), (9, 6, 4)


def overview(*parts: tuple[tuple[int, int, int], np.s_]) -> Overview:  # type: ignore[valid-type]
    """A noisy slide of glass of 200 x 200 px with coloured parts."""
    pixels = np.empty((200, 200, 3))
    pixels[:] = GLASS
    for color, where in parts:
        pixels[where] = color
    noisy = pixels + np.random.default_rng(0).normal(0, 2, pixels.shape)
    return Overview(noisy.clip(0, 255).astype(np.uint8), 0, 1, (MASK_MPP, MASK_MPP))


def share(mask: np.ndarray, where: object) -> float:
    return float(mask[where].mean())


def test_glass_alone_is_no_tissue() -> None:
    """Otsu's threshold would halve the noise."""
    assert not find_tissue(overview()).mask.any()


def test_pale_tissue_beside_a_strong_stain_is_tissue() -> None:
    """Otsu's threshold of saturation itself lies between the brown and everything else."""
    pale, brown = np.s_[20:90, 20:180], np.s_[110:180, 20:180]
    tissue = find_tissue(overview((PALE, pale), (BROWN, brown)))
    assert share(tissue.mask, pale) > 0.95 and share(tissue.mask, brown) > 0.95
    assert share(tissue.mask, np.s_[:15]) == 0 and 0.05 <= tissue.threshold < 0.11


def test_what_is_black_is_no_tissue() -> None:
    """A frame or a pen: nearly black has a saturation of 0.5 by chance."""
    tissue = find_tissue(overview((BLACK, np.s_[:, :30]), (PALE, np.s_[60:140, 60:140])))
    assert share(tissue.mask, np.s_[:, :28]) == 0 and share(tissue.mask, np.s_[62:138, 62:138]) == 1


def test_specks_and_pinholes_are_closed() -> None:
    """Below 5,000 square micrometres, which are 78 pixels here."""
    parts = ((BROWN, np.s_[40:160, 40:160]), (GLASS, np.s_[100:106, 100:106]), (BROWN, np.s_[10:15, 10:15]))
    mask = find_tissue(overview(*parts)).mask
    assert mask[103, 103] and not mask[12, 12]
    large = find_tissue(overview(parts[0], (GLASS, np.s_[90:110, 90:110]), (BROWN, np.s_[5:25, 5:25]))).mask
    assert not large[100, 100] and large[15, 15]


def test_a_threshold_of_the_users_counts() -> None:
    """For a slide that is tissue all over, of which Otsu would take the paler half for glass."""
    full = overview((PALE, np.s_[:]), (BROWN, np.s_[100:]))
    assert find_tissue(full).mask.mean() < 0.6
    assert find_tissue(full, threshold=0.05).mask.mean() > 0.98, "but for the grey between the colours"


@pytest.mark.parametrize("name", ["tiff", "svs", "strips", "mirax"])
def test_the_overview_is_the_slide_made_smaller(slide_file: SlideFile, picture: Picture, name: str) -> None:
    """From the coarse level where there is one, else from the finest; no block leaves a seam."""
    with open_slide(slide_file(name)) as slide:
        seen = read_overview(slide, ThreadPoolExecutor(2), 3)
    factor = round(seen.mpp[0] / MPP)
    assert 12 <= factor <= 20 and seen.level == (0 if name == "strips" else 1)
    expected = smaller(picture, factor)
    assert seen.pixels.shape == expected.shape
    difference = np.abs(seen.pixels.astype(int) - expected)
    if name == "mirax":  # what was not scanned is white
        difference[: 256 // factor + 1, : 256 // factor + 1] = 0
    assert difference.mean() < 1.5


def test_blocks_of_any_size_give_the_same_overview(slide_file: SlideFile, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_slide(slide_file("strips")) as slide:
        whole = read_overview(slide, ThreadPoolExecutor(2), 3)
        monkeypatch.setattr("fedray.data.slides.mask.BLOCK_PX", 100)
        np.testing.assert_array_equal(read_overview(slide, ThreadPoolExecutor(2), 3).pixels, whole.pixels)


def test_the_mask_finds_the_tissue_of_the_picture(slide_file: SlideFile) -> None:
    with open_slide(slide_file("tiff")) as slide:
        seen = read_overview(slide, ThreadPoolExecutor(2), 3)
        mask = find_tissue(seen).mask
    factor = round(seen.mpp[0] / MPP)
    inside = mask[tuple(slice(edge.start // factor, edge.stop // factor) for edge in TISSUE)]
    assert inside.mean() > 0.6 and mask.sum() == pytest.approx(inside.sum(), rel=0.1)
