"""500 damaged files of ten formats among good ones: no foreign exception, the bad ones named, the good ones in."""

import resource
from pathlib import Path

import numpy as np
import pytest

from fedray.data import ImportOptions, import_folder
from fedray.data.decoding import DecodeError, decode_tile
from tests.support.damage import GOOD, HOPELESS, damaged, picture

NUM_DAMAGED = 500


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Path, set[str], set[str]]:
    """A folder of two labels; the sources of its good files and of those that no decoder may make a picture of."""
    good, hopeless = set(), set()
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
    for number in range(NUM_DAMAGED):
        _, kind, name, data = damaged(number)
        source = f"{'ab'[number % 2]}/{name}"
        (tmp_path / "images" / source).write_bytes(data)
        if kind in HOPELESS:
            hopeless.add(source)
    for number in range(6 * len(GOOD)):
        suffix = list(GOOD)[number // 6]
        source = f"{'ab'[number % 2]}/good {number}.{suffix}"
        data = GOOD[suffix](picture(np.random.default_rng((1, number))), number)
        (tmp_path / "images" / source).write_bytes(data)
        good.add(source)
    return tmp_path / "images", good, hopeless


def test_damaged_files_are_named_and_the_good_ones_are_in(
    mixed: tuple[Path, set[str], set[str]], tmp_path: Path
) -> None:
    folder, good, hopeless = mixed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = import_folder(folder, ImportOptions(size=32, out=tmp_path / "store", on_error="skip", names="plain"))
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    stored = set(report.store.sources(range(len(report.store))))
    assert len(report.store) + len(report.skipped) == NUM_DAMAGED + len(good)
    assert good <= stored and not hopeless & stored
    for source in hopeless:
        assert sum(str(folder / source) in message for message in report.skipped) == 1
    assert not [message for message in report.skipped if "\n" in message or len(message) > 600]
    assert grown_mib < 1024  # sizes in damaged headers are absurd


@pytest.mark.parametrize("suffix", GOOD)
def test_a_file_that_was_cut_off_gives_the_right_picture_or_none(tmp_path: Path, suffix: str) -> None:
    refused = 0
    for number in range(24):
        random = np.random.default_rng((2, number))
        data = GOOD[suffix](picture(random), number)
        path = tmp_path / f"image.{suffix}"
        path.write_bytes(data)
        whole = decode_tile(path, 32).pixels
        path.write_bytes(data[: int(random.integers(len(data) // 4, len(data) - 12))])
        try:
            np.testing.assert_array_equal(decode_tile(path, 32).pixels, whole)
        except DecodeError:
            refused += 1
    assert refused >= 20
