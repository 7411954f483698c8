"""The page of faults names tests that are there."""

import re

import pytest

from tests.support.pages import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("test", NAMED)
def test_a_test_that_the_page_names_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert (ROOT / file).exists()
    assert not name or re.search(rf"^(    )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_names_one_or_the_same_as_the_row_above() -> None:
    lines = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(("| fault |", "|---"))]
    assert len(rows) >= 10
    assert [row for row in rows if not re.search(r"\| (`tests/[^|]+`|the same) \|$", row)] == []
