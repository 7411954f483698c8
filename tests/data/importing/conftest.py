from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.small import Touch


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Make empty files: an ending is enough to be listed as an image."""

    def touch(paths: Iterable[str]) -> Path:
        root = tmp_path / "images"
        root.mkdir(exist_ok=True)
        for path in paths:
            if path.endswith("/"):
                (root / path).mkdir(parents=True, exist_ok=True)
            else:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
        return root

    return touch
