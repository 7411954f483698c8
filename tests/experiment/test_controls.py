"""What stands in the place of synthetic tiles has as many of each label and domain, and says what it should."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fedray.data import Tile, write_store
from fedray.experiment.controls import CONTROLS, Asked

NAMES = {"label_names": ["dark", "bright"], "domain_names": ["a", "b"]}


def tiles(num, seed, split="train"):
    """Tiles that each know their label by their first pixel; of label 1 in domain 1 there is none."""
    rng = np.random.default_rng(seed)
    for place in range(num):
        label, domain = (place // 3) % 2, place % 2
        image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image[0, 0] = label
        yield Tile(image, label, domain * (1 - label), f"g{place}", split, f"s{place}")


@pytest.fixture
def asked(tmp_path):
    made = write_store(tmp_path / "made", tiles(60, 0), **NAMES)
    real = write_store(tmp_path / "real", [*tiles(24, 1), *tiles(6, 2, "test")], **NAMES)
    return Asked(made, real, real.indices("train")[:20], np.random.default_rng(0))


def stored(control, asked, tmp_path):
    return write_store(tmp_path / "control", CONTROLS[control](asked), **NAMES)


def counts(store):
    return np.bincount(store.labels * 2 + store.domains, minlength=4).tolist()


@pytest.mark.parametrize("control", CONTROLS)
def test_it_has_as_many_of_each_label_and_domain(control, asked, tmp_path):
    assert counts(stored(control, asked, tmp_path)) == counts(asked.made)


def test_noise_has_nothing_of_the_tiles(asked, tmp_path):
    pixels = stored("noise", asked, tmp_path).tiles(slice(None)).astype(float)
    assert abs(pixels.mean() - 127.5) < 2 and abs(pixels.std() - 255 / np.sqrt(12)) < 2


def test_shuffled_labels_are_of_the_same_tiles_and_say_nothing(asked, tmp_path):
    control = stored("shuffled-labels", asked, tmp_path)
    images, made = control.tiles(slice(None)), asked.made.tiles(slice(None))
    assert sorted(image.tobytes() for image in images) == sorted(image.tobytes() for image in made)
    own = control.domains == 0  # in the other domain there is one label alone
    right = (images[own, 0, 0, 0] == control.labels[own]).mean()
    shares = np.bincount(asked.made.labels[asked.made.domains == 0]) / own.sum()
    assert abs(right - (shares**2).sum()) < 0.2, "as often right as chance is"


def test_blurred_tiles_are_what_scipy_blurs(asked, tmp_path):
    found = stored("blurred", asked, tmp_path).tiles([5])[0]
    expected = gaussian_filter(asked.made.tiles([5])[0].astype(float), (2, 2, 0))
    assert np.abs(found - expected).max() <= 0.5


def test_copies_are_training_tiles_of_the_same_cell(asked, tmp_path):
    control = stored("copies", asked, tmp_path)
    by_pixels = {asked.real.tiles([index])[0].tobytes(): index for index in asked.training.tolist()}
    drawn = [by_pixels[image.tobytes()] for image in control.tiles(slice(None))]
    assert np.array_equal(asked.real.labels[drawn], control.labels)
    assert np.array_equal(asked.real.domains[drawn], control.domains)
    assert set(drawn) == set(asked.training.tolist()), "all of them, and some more than once"


def test_a_cell_that_nobody_has_has_no_copies(asked, tmp_path):
    bright = asked.training[asked.real.labels[asked.training] == 1]
    without = Asked(asked.made, asked.real, np.setdiff1d(asked.training, bright), np.random.default_rng(0))
    assert counts(stored("copies", without, tmp_path)) == [*counts(asked.made)[:2], 0, 0]
