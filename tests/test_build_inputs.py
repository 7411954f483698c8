"""Everything that is installed anywhere is installed by its hash, from a lock of this repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "mlflow/requirements.lock", "docs/gcp/requirements.lock", ".ci/audit.lock")
INSTALLERS = ("Makefile", "cluster.yaml", "cluster.gcp.yaml", "kubernetes/Dockerfile", "mlflow/Dockerfile", ".ci/run")
OWN = "--no-deps --no-build-isolation --editable ."  # the repository itself, built by what the lock has installed


def installs(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", text)
    return [
        line.strip() for line in joined.splitlines() if re.search(r"\bpip (install|sync)\b|\b(npm|gem|cargo) i", line)
    ]


def unpinned(text: str) -> list[str]:
    return [line for line in installs(text) if "--require-hashes" not in line and OWN not in line]


@pytest.mark.parametrize("name", INSTALLERS)
def test_nothing_is_installed_without_its_hash(name):
    assert unpinned((ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["pip install uv", "RUN pip install \\\n  mlflow==3", "uv pip sync lock", "uv pip install --no-deps --editable ."],
)
def test_an_install_without_hashes_is_found(line):
    assert unpinned(line)


def test_every_file_that_installs_is_looked_at():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    shell = [name for name in tracked if re.search(r"(Makefile|Dockerfile|\.sh|\.ya?ml|/run)$", name)]
    found = {name for name in shell if installs((ROOT / name).read_text(encoding="utf-8"))}
    assert found and found <= set(INSTALLERS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_version_and_hashes_of_each_package_and_names_no_index(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z])", text)
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry) and "--hash=sha256:" in entry, entry[:100]
    assert "://" not in re.sub(r"#.*", "", text)


@pytest.mark.parametrize("name", ["Makefile", "cluster.yaml", "cluster.gcp.yaml"])
def test_uv_itself_is_taken_from_the_lock(name):
    """By a line of sed, because nothing is there yet that reads a lock: its output is uv's entry and no other."""
    command = re.search(r"sed -n '([^']+)'", (ROOT / name).read_text(encoding="utf-8"))
    cut = subprocess.run(
        ["sed", "-n", command[1], ROOT / "requirements.lock"], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^([\w.-]+)==", cut, re.MULTILINE) == ["uv"] and cut.count("--hash=sha256:") > 10


def test_the_audit_has_its_tools():
    text, makefile = ((ROOT / name).read_text(encoding="utf-8") for name in (".ci/audit.lock", "Makefile"))
    recipe = makefile.partition("\naudit:")[2].partition("\n\n")[0]
    for tool, command in {"cyclonedx-bom": "cyclonedx-py", "pip-audit": "pip-audit"}.items():
        assert re.search(rf"^{tool}==", text, re.MULTILINE) and f".audit/bin/{command}" in recipe
    assert "--strict" in recipe and all(lock in recipe for lock in LOCKS[:2])
