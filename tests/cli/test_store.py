"""What the jobs that make a store have in common."""

import signal
from dataclasses import dataclass
from typing import Annotated

import pytest
import tyro

from fedray.cli.store import parse_options


@dataclass(frozen=True)
class Inner:
    """Options below."""

    edge: int = 1
    """Of a tile,
    in pixels."""


@dataclass(frozen=True)
class Outer:
    """Options above."""

    inner: Annotated[Inner, tyro.conf.arg(name="")]
    folder: Annotated[str, tyro.conf.arg(metavar="DIR")] = "."
    """Where the pictures
    lie."""
    kind: Annotated[str, tyro.conf.arg(help="Said by hand.")] = "a"


@pytest.fixture(autouse=True)
def keep_sigterm() -> object:
    """A job takes it over."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("again", [1, 2])
def test_an_explanation_flows_however_its_docstring_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        parse_options(Outer, ["--help"], "A job.")
    said = capsys.readouterr().out
    for line in (
        "--folder DIR  Where the pictures lie. (default: .)",
        "--edge INT    Of a tile, in pixels. (default: 1)",
    ):
        assert line in said
    assert "Said by hand. (default: a)" in said
    assert parse_options(Outer, ["--edge", "3"], None) == Outer(Inner(3))
