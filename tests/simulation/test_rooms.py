"""All that the engine knows of Flower's insides is in one room."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedray.simulation

HOUSE = Path(fedray.simulation.__file__).parent
PUBLIC = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}


def reaches(source: str) -> Iterator[str]:
    """Say where a module goes past Flower's public names: its other modules, and objects' fields."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), level=0, names=names) if module.partition(".")[0] == "flwr":
                private = [name.name for name in names if name.name.startswith("_")]
                if module not in PUBLIC or private:
                    yield f"line {node.lineno}: {module} {private}"
            case ast.Import(names=names):
                yield from (f"line {node.lineno}: {name.name}" for name in names if name.name.startswith("flwr"))
            case ast.Attribute(attr="__dict__") | ast.Call(func=ast.Name(id="vars")):
                yield f"line {node.lineno}: an object's fields"


@pytest.mark.parametrize(
    "module", [path for path in HOUSE.rglob("*.py") if path.parent.name != "wire"], ids=lambda path: path.stem
)
def test_nobody_outside_the_wire_reaches_into_flower(module):
    assert list(reaches(module.read_text())) == []


def test_a_reach_is_seen():
    assert list(reaches("from flwr.app import Message\nfrom flwr.serverapp.strategy import FedAvg\n")) == []
    for line in (
        "from flwr.common.constant import ErrorCode",
        "from flwr.app import _private",
        "import flwr.supercore",
        "message.metadata.__dict__.update(_run_id=1)",
        "vars(message)",
    ):
        assert len(list(reaches(line))) == 1
    assert any(list(reaches(path.read_text())) for path in (HOUSE / "wire").glob("*.py"))
