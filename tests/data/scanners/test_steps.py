"""Each step against its formula, written out with other tools."""

import numpy as np
import pytest
import torch

from fedray.data.scanners import Blur, Contrast, HairFree, Illuminant, Resolution, ShadesOfGrey, Stains

RUIFROK = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Absorption of haematoxylin, eosin and DAB in R, G and B (Ruifrok and Johnston 2001)."""


def picture(height=24, width=32, seed=0, low=0.1):
    return np.random.default_rng(seed).uniform(low, 0.95, (height, width, 3))


@pytest.mark.parametrize("factors", [(1.7, 1.0, 1.0), (1.0, 0.5, 1.0), (0.8, 1.2, 1.4)])
def test_stains_scale_the_densities_of_the_dyes(factors):
    """Of mixtures of the dyes: light falls exponentially with each dye's density, so its factor is in the exponent."""
    dyes = np.random.default_rng(0).uniform(0, 0.8, (8, 8, 3))
    before, after = (np.exp(-(dyes * factor) @ RUIFROK) for factor in (1.0, np.array(factors)))
    assert before.min() > 8 / 255
    np.testing.assert_allclose(Stains(*factors)(before), after, rtol=1e-9)


def test_stains_leave_what_is_no_mixture_of_them_but_for_its_dyes():
    """A colour outside their span has a negative share of one: it counts as none, and the rest stays as it is."""
    green = np.full((2, 2, 3), 0.2) + np.array([0, 0.7, 0])
    shares = np.linalg.solve(RUIFROK.T, -np.log(green[0, 0]))
    assert shares.min() < 0
    change = np.maximum(shares, 0) * 0.5
    np.testing.assert_allclose(Stains(1.5, 1.5, 1.5)(green)[0, 0], green[0, 0] * np.exp(-change @ RUIFROK), rtol=1e-9)
    assert np.isfinite(Stains(1.5, 0.5, 2.0)(np.zeros((4, 4, 3)))).all()


def test_blur_is_a_gaussian_with_the_last_pixels_beyond_the_ends():
    image, sigma = picture(), 0.8
    reach = np.arange(-3, 4)
    weights = np.exp(-(reach**2) / (2 * sigma**2))
    weights /= weights.sum()
    padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="edge")
    expected = np.zeros_like(image)
    for i, j in np.ndindex(7, 7):
        expected += weights[i] * weights[j] * padded[i : i + image.shape[0], j : j + image.shape[1]]
    np.testing.assert_allclose(Blur(sigma)(image), expected, atol=1e-12)


def test_contrast_moves_values_from_the_pivot():
    values = np.array([0.0, 0.5, 0.8, 1.0]).repeat(3).reshape(1, 4, 3)
    np.testing.assert_allclose(Contrast(0.5)(values)[0, :, 0], [0.25, 0.5, 0.65, 0.75])
    np.testing.assert_allclose(Contrast(2.0, pivot=0.8)(values)[0, :, 0], [-0.8, 0.2, 0.8, 1.2])


@pytest.mark.parametrize("factor", [2, 4])
def test_resolution_is_means_over_squares_enlarged_by_lines(factor):
    image = picture()
    means = image.reshape(24 // factor, factor, 32 // factor, factor, 3).mean((1, 3))
    shrunk = torch.from_numpy(means).permute(2, 0, 1)[None]
    grown = torch.nn.functional.interpolate(shrunk, size=(24, 32), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(Resolution(factor)(image), grown[0].permute(1, 2, 0).numpy(), atol=1e-6)


def test_resolution_takes_any_size_and_keeps_plain_colours():
    plain = np.full((17, 23, 3), 0.3)
    for factor in (1, 1.5, 3, 100):
        np.testing.assert_allclose(Resolution(factor)(plain), plain, atol=1e-6)


def test_light_scales_channels():
    image = picture()
    expected = np.stack([image[..., 0] * 1.2, image[..., 1], image[..., 2] * 0.5], -1)
    np.testing.assert_array_equal(Illuminant(1.2, 1.0, 0.5)(image), expected)


@pytest.mark.parametrize("norm", [1.0, 6.0])
def test_shades_of_grey_divides_by_the_minkowski_norm(norm):
    image = picture()
    light = [sum(float(v) ** norm for v in image[..., c].ravel()) ** (1 / norm) for c in range(3)]
    unit = [one / sum(other**2 for other in light) ** 0.5 for one in light]
    expected = np.stack([image[..., c] / (unit[c] * 3**0.5) for c in range(3)], -1)
    np.testing.assert_allclose(ShadesOfGrey(norm)(image), expected, rtol=1e-12)


def test_shades_of_grey_does_not_see_the_light():
    image = picture()
    lit = Illuminant(1.1, 0.9, 0.7)(image)
    plain, corrected = ShadesOfGrey()(image), ShadesOfGrey()(lit)
    np.testing.assert_allclose(corrected / corrected.mean(), plain / plain.mean(), rtol=1e-12)
    grey = np.repeat(picture()[..., :1], 3, axis=-1)
    np.testing.assert_allclose(ShadesOfGrey()(grey), grey)
    assert not ShadesOfGrey()(np.zeros((4, 4, 3))).any()


def skin(size):
    """A lesion, darker than the skin, and some noise."""
    y, x = np.mgrid[:size, :size] / size
    lesion = np.exp(-((y - 0.5) ** 2 + (x - 0.5) ** 2) / 0.04)[..., np.newaxis]
    noise = np.random.default_rng(0).normal(0, 0.01, (size, size, 1))
    return np.array([0.85, 0.68, 0.6]) - lesion * np.array([0.35, 0.3, 0.25]) + noise


def hair(size):
    y, x = np.mgrid[:size, :size] / size
    thick = 0.5 * max(1.0, size / 64) / size
    slanted, curved = np.abs(y - 0.2 - 0.5 * x) < thick, np.abs(x - 0.75 + 0.25 * y**2) < thick
    return slanted | curved


@pytest.mark.parametrize("size", [64, 128])
def test_planted_hair_is_found_and_filled_and_all_else_stays(size):
    clean, planted = skin(size), hair(size)
    hairy = np.where(planted[..., np.newaxis], np.array([0.2, 0.14, 0.12]), clean)
    step = HairFree()
    mask, filled = step.mask(hairy), step(hairy)
    assert not (planted & ~mask).any(), "all of it is found"
    assert mask.mean() < 4 * planted.mean(), "and little else"
    before, after = (np.abs(each - clean)[planted].mean() for each in (hairy, filled))
    assert after < 0.05 * before
    np.testing.assert_array_equal(filled[~mask], hairy[~mask])


def test_skin_without_hair_stays_as_it_is():
    """Neither the edge of a lesion nor a spot is hair."""
    clean = skin(64)
    clean[20:23, 20:23] = 0.3
    assert not HairFree().mask(clean).any()
    np.testing.assert_array_equal(HairFree()(clean), clean)
    assert not HairFree().mask(np.zeros((16, 16, 3))).any()
    texture = picture(64, 64)
    np.testing.assert_array_equal(HairFree()(texture), texture)
