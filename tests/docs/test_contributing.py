"""CONTRIBUTING names files, registries and classes: all of them are there."""

import re
import tomllib

from tests.support.pages import ROOT

MARKED = set(re.findall(r"`([^`\n]+)`", (ROOT / "CONTRIBUTING.md").read_text())) - {"pytest tests/FOLDER"}


def marked(pattern: str) -> set[str]:
    return {name for name in MARKED if re.fullmatch(pattern, name)}


def test_every_path_exists() -> None:
    paths = marked(r"[\w.]+(/[\w.]*)+")
    assert len(paths) > 20
    # A path that begins in a folder named just before it is looked for below.
    missing = {name for name in paths if not (ROOT / name).exists() and not any((ROOT / "fedray").rglob(name))}
    assert missing == set()


def test_every_file_exists_somewhere() -> None:
    there = {
        path.name
        for folder in ("fedray", "tests", ".")
        for path in (ROOT / folder).glob("**/*.*" if folder != "." else "*")
    }
    assert marked(r"\w+\.(py|toml|yaml|md)") - there == set()


def test_every_name_is_in_the_code() -> None:
    code = "\n".join(path.read_text() for folder in ("fedray", "tests") for path in (ROOT / folder).rglob("*.py"))
    names = marked(r"[A-Za-z]\w*(\.[a-z]\w*)?") - marked(r"\w+\.(py|toml|yaml|md)")
    parts = {part for name in names for part in name.split(".")}
    assert len(parts) > 20
    assert {part for part in parts if not re.search(rf"\b{part}\b", code)} == set()


def test_the_rooms_are_those_that_the_import_contract_holds() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    said = [line.strip().replace("fedray.", "") for line in text.splitlines() if line.startswith("    fedray.")]
    assert [set(line.split(" | ")) for line in said] == [set(line.split(" | ")) for line in contract["layers"]]
