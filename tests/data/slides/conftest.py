from pathlib import Path

import pytest

from tests.support.slides import FORMATS, Picture, SlideFile, slide_picture


@pytest.fixture(scope="session")
def picture() -> Picture:
    return slide_picture()


@pytest.fixture(scope="session")
def slide_file(picture: Picture, tmp_path_factory: pytest.TempPathFactory) -> SlideFile:
    """``slide_file(format)``: the picture in that format, written once."""
    files: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in files:
            files[name] = FORMATS[name](tmp_path_factory.mktemp("slide"), picture)
        return files[name]

    return write
