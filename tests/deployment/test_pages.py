"""The page for hospitals says what is sent."""

from pathlib import Path

from fedray.deployment.measures import MESSAGES
from fedray.federation.traffic import as_table

PAGE = Path(__file__).parents[2] / "docs" / "hospitals.md"


def test_the_page_has_the_declared_parts_of_what_scores_need():
    assert as_table(MESSAGES) in PAGE.read_text(encoding="utf-8")
