"""Whatever writes a file does it by ``fedray.storage``, or into a folder that is put in place, or goes, as a whole."""

import ast
from collections import Counter
from pathlib import Path

import fedray

WRITERS = {
    *("write_text", "write_bytes", "to_parquet", "to_csv", "save_file", "savefig", "save", "replace", "rename", "open"),
    *("mkdtemp", "TemporaryDirectory", "NamedTemporaryFile", "copytree", "copyfile", "copyfileobj", "OSFile"),
}

ALLOWED = {
    "config/loading.py": "a file of the user's, which no job reads back",
    "data/writing.py": "into the partial folder of a store",
    "data/pseudonyms.py": "the key: a temporary file beside it, which is linked to its name",
    "data/slides/picture.py": "into that partial folder",
    "deployment/audit.py": "lines at the end of a log, whose hashes and head tell one that is not whole",
    "experiment/engines/ray_train.py": "Ray Train wants a folder, which stays empty",
    "evaluation/extractors/inception.py": "a download, into the partial file",
    "experiment/self_tested.py": "into a scratch folder, on the way to MLflow",
    "experiment/run.py": "a checkpoint, which is a whole folder",
    "experiment/flower.py": "a checkpoint, which is a whole folder",
    "federation/checkpoint.py": "into the partial folder of a checkpoint",
    "results/finished.py": "into a scratch folder, on the way to MLflow",
    "results/generating.py": "into the partial folder of a set of pictures",
    "simulation/workers/local_ray.py": "the folder of a Ray, which ends with it",
    "sweep/counted.py": "a checkpoint, which is a whole folder, and an array in memory",
    "sweep/kept.py": "into the partial file of a database",
    "sweep/promotion.py": "a checkpoint, which is a whole folder, and a file on the way to MLflow",
    "sweep/report/making.py": "into a scratch folder, on the way to MLflow",
    "sweep/searcher.py": "into a partial folder, from where each file is moved, and then kept as a whole",
    "sweep/trial.py": "a checkpoint, which is a whole folder",
    "tracking/check.py": "makes the database where it is missing, empty, under its lock",
    "tracking/deliveries.py": "into a scratch folder, on the way to MLflow",
    "tracking/kept.py": "into a scratch folder, on the way to MLflow",
    "tracking/run.py": "into a scratch folder, on the way to MLflow",
}
"""Modules that call something of that kind themselves, and why that is whole."""

IN_MEMORY = {"evaluation/destruction.py", "reports/pictures.py", "storage"}
"""Those that write into memory, and the house of whole files."""


def calls_that_write(path: Path) -> list[str]:
    """Name the calls that may make a file; opening to read is none, nor is a method of text."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        arguments = [ast.unparse(argument) for argument in node.args]
        if name == "open" and not any(
            argument.strip("'\"")[:1] in "wax" and len(argument) <= 5 for argument in arguments
        ):
            continue
        if name in ("replace", "rename") and (owner != "os" if name == "replace" else "path" not in owner.lower()):
            continue
        if name == "to_csv" and not arguments:  # gives text
            continue
        if name == "to_parquet" and arguments[:1] == ["None"]:
            continue
        if name == "save" and (
            not owner or owner in ("torch", "np") or any("buffer" in argument for argument in arguments)
        ):
            continue
        if name in WRITERS:
            found.append(name)
    return found


def test_no_module_writes_beside_the_house_of_whole_files():
    root = Path(fedray.__file__).parent
    found = Counter[str]()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] not in ("storage", "testing") and name not in IN_MEMORY:
            found[name] += len(calls_that_write(path))
    writing = {name for name, number in found.items() if number}
    assert writing - ALLOWED.keys() == set(), "keep it by fedray.storage, or say above why it is whole"
    assert ALLOWED.keys() - writing == set(), "writes no more: its line can go"
