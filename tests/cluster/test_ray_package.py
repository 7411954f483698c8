"""What `ray job submit --working-dir .` sends: all a job needs, and little else."""

import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from tests.cluster.checks import ROOT

NEEDED = ("fedray", "jobs", "search_spaces")


@pytest.fixture(scope="module", params=[True, False], ids=["gitignore counts", "gitignore does not count"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    path = tmp_path_factory.mktemp("package") / "package.zip"
    create_package(str(ROOT), path, include_gitignore=request.param)
    return zipfile.ZipFile(path)


def test_it_holds_all_that_a_job_needs(package: zipfile.ZipFile) -> None:
    needed = {
        str(path.relative_to(ROOT))
        for folder in NEEDED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"jobs/sweep_wgan.py", "fedray/__init__.py", "search_spaces/wgan_gp.yaml"} <= needed
    assert needed <= set(package.namelist())


def test_it_is_small(package: zipfile.ZipFile) -> None:
    sizes = {name: package.getinfo(name).file_size for name in package.namelist()}
    largest = dict(sorted(sizes.items(), key=lambda item: -item[1])[:5])
    assert sum(sizes.values()) < 2 * 1024**2, f"Ray sends all of it for every job; the largest files: {largest}"


@pytest.mark.parametrize("gitignore", [True, False])
def test_what_is_made_here_stays_here(gitignore: bool, tmp_path: Path) -> None:
    stays = [
        ".git/HEAD",
        ".venv/bin/python",
        "runs/first/samples.png",
        "mlartifacts/1/generator.safetensors",
        "mlflow.db",
        "mlflow.db-wal",
        "tiles/tiles.arrow",
        "tests/test_all.py",
        "benchmarks/README.md",
        "docs/samples.png",
        "kubernetes/cluster.yaml",
        "mlflow/compose.yaml",
        "fedray/__pycache__/randomness.cpython-311.pyc",
        "fedray.egg-info/PKG-INFO",
        "cluster.gcp.yaml",
        "requirements.lock",
    ]
    goes = ["fedray/tracking/mlflow.py", "fedray/docs.py", "jobs/train_gan.py", "search_spaces/mine.yaml", "mine.yaml"]
    tree = tmp_path / "tree"
    for name in stays + goes:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    for name in (".rayignore", ".gitignore"):
        (tree / name).write_text((ROOT / name).read_text())

    create_package(str(tree), tmp_path / "package.zip", include_gitignore=gitignore)

    sent = set(zipfile.ZipFile(tmp_path / "package.zip").namelist())
    assert sent == {*goes, ".rayignore", ".gitignore"}
