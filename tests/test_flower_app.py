"""What `flwr run .` sends to every machine: a bundle that Flower builds, and it leaves out files by their names."""

import io
import shutil
import zipfile
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

ROOT = Path(__file__).parents[1]


def test_the_bundle_has_every_module(tmp_path: Path) -> None:
    """Of a copy without the environment: Flower looks at each of its files, of which there are tens of thousands."""
    kept_back = shutil.ignore_patterns(".venv", ".uv", ".git", ".*_cache", "__pycache__", "runs")
    shutil.copytree(ROOT, tmp_path / "copy", ignore=kept_back)
    with zipfile.ZipFile(io.BytesIO(build_fab_from_disk(tmp_path / "copy"))) as bundle:
        names = set(bundle.namelist())
    missing = {str(path.relative_to(ROOT)) for path in (ROOT / "fedray").rglob("*.py")} - names
    assert missing == set(), "Flower takes test_*.py and *_test.py for tests"
