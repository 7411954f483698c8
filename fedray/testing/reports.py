"""What every report must do, whoever wrote it."""

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from fedray.reports import Finding, Judged, RealTiles, Report
from fedray.testing.suite import Suite
from fedray.testing.textures import real_textures, texture_labels, texture_tiles


class ReportSuite(Suite):
    """Tests of a :class:`fedray.reports.Report`, given as ``report``."""

    given = ("report",)

    def test_it_says_what_it_asks(self, report: Report) -> None:
        """In words that stand above what it finds."""
        assert report.title.strip() and report.question.endswith("?"), (
            f"title and question are {report.title!r} and {report.question!r}: a question ends with a question mark"
        )

    def test_a_finding_has_a_sentence_tables_and_pictures_that_can_be_shown(self, report: Report) -> None:
        """Of one tile for each label, and of copies; of noise and of real tiles below."""
        real = real_textures()
        for what, tiles in _kinds(real).items():
            _check(report.make(_judged(real, tiles)), what)

    def test_real_tiles_raise_no_alarm(self, report: Report) -> None:
        """A generator could be no better than the process that made the real tiles."""
        for seed in range(2):
            finding = report.make(_judged(real_textures(), texture_tiles(seed=100 + seed)))
            assert finding.alarm is False, f"real tiles (draw {seed}) must raise no alarm: {finding.verdict}"
            _check(finding, "real tiles")

    def test_the_same_tiles_have_the_same_finding(self, report: Report) -> None:
        """Nothing is drawn from global state, and what is judged stays as it was."""
        tiles = np.random.default_rng(4).integers(0, 256, texture_tiles(seed=7).shape, dtype=np.uint8)
        tiles.flags.writeable = False
        state = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
        first, second = (report.make(_judged(real_textures(), tiles)) for _ in range(2))
        assert np.array_equal(state, np.random.get_state()[1]), (  # type: ignore[index]  # noqa: NPY002
            "it draws from NumPy's global state: use fedray.randomness.stream"
        )
        _check(first, "noise")
        assert first.verdict == second.verdict, f"two calls say {first.verdict!r} and {second.verdict!r}"
        for name, table in first.tables.items():
            pd.testing.assert_frame_equal(table, second.tables[name])
        assert [figure.png for figure in first.figures] == [figure.png for figure in second.figures], "pictures differ"

    def test_of_too_few_tiles_it_says_so(self, report: Report) -> None:
        """And raises neither an alarm nor an error."""
        finding = report.make(_judged(real_textures(num=2), texture_tiles(seed=1, num=1)))
        _check(finding, "two tiles")
        assert finding.alarm is None, f"of two tiles nothing can be said, but alarm is {finding.alarm}"


def _kinds(real: RealTiles) -> dict[str, NDArray[np.uint8]]:
    first = np.searchsorted(texture_labels(), texture_labels())
    return {"one tile a label": texture_tiles(seed=3)[first], "copies": real.store.tiles(real.training)}


def _judged(real: RealTiles, tiles: NDArray[np.uint8]) -> Judged:
    return Judged("<i>some</i>", tiles, texture_labels(len(tiles) // 2), real)


def _check(finding: Finding, what: str) -> None:
    sentence = finding.verdict
    assert sentence == sentence.strip() and sentence.endswith(".") and "\n" not in sentence, (
        f"the verdict of {what} must be one sentence, but is {sentence!r}"
    )
    assert finding.alarm in (True, False, None) and not isinstance(finding.alarm, np.bool_), (
        f"alarm of {what} must be True, False or None, but is {finding.alarm!r}"
    )
    assert finding.tables, f"of {what} there is no table"
    for name, table in finding.tables.items():
        assert isinstance(table, pd.DataFrame) and not table.empty, f"table {name!r} of {what} is empty"
        assert pd.read_parquet(io.BytesIO(table.to_parquet())).equals(table), f"table {name!r} of {what} is no Parquet"
    names = [figure.name for figure in finding.figures]
    assert len(set(names)) == len(names), f"two pictures of {what} have one name: {names}"
    for figure in finding.figures:
        assert figure.name.replace("-", "").isalnum() and figure.name == figure.name.lower(), (
            f"a picture's name must be lower-case words with '-' between, but is {figure.name!r}"
        )
        assert figure.caption.strip() and figure.alt.strip(), f"picture {figure.name!r} needs a caption and an alt text"
        assert np.ptp(np.asarray(Image.open(io.BytesIO(figure.png)).convert("L"))) > 0, f"{figure.name!r} is empty"
