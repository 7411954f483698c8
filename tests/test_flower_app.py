"""What `flwr run .` sends to every machine: a bundle that Flower builds, and it leaves out files by their names."""

import io
import zipfile
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

ROOT = Path(__file__).parents[1]


def test_the_bundle_has_every_module() -> None:
    with zipfile.ZipFile(io.BytesIO(build_fab_from_disk(ROOT))) as bundle:
        names = set(bundle.namelist())
    missing = {str(path.relative_to(ROOT)) for path in (ROOT / "fedray").rglob("*.py")} - names
    assert missing == set(), "Flower takes test_*.py and *_test.py for tests"
