import subprocess
from pathlib import Path

import fedray
from fedray.tracking import code_version_tags


def test_the_code_is_named() -> None:
    tags = code_version_tags()
    assert tags["fedray.version"] == fedray.__version__
    assert tags["fedray.version.torch"].startswith("2.")
    assert all(isinstance(value, str) for value in tags.values())
    package = Path(fedray.__file__).parent
    git = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if git.returncode == 0:
        assert tags["mlflow.source.git.commit"] == git.stdout.strip()
        assert tags["fedray.git.dirty"] in ("true", "false")
