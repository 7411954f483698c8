"""The words of a sweep on the terminal: values of a choice, places and errors are data, not markup."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from fedray.cli.trials import print_trials
from fedray.sweep.progress import SweepProgress
from fedray.sweep.results import SweepResult
from fedray.terminal import plain_console
from tests.support.spaces import small_space

WORDS = ["[red]", "[/red]", "/data/[bold]/x", ":skull:", r"\[x]"]


@pytest.fixture
def space(small_store):
    choice = {"type": "choice", "values": WORDS}
    return small_space(small_store, search={"gan.discriminator": choice}, start_points=[])


def test_the_tables_values_are_printed_as_they_are(space, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        {"trial": f"t{number}", "number": number, "outcome": "complete", "rounds": 3, "score": 1.5, "start_point": True,
         "gan.discriminator": word} for number, word in enumerate(WORDS)
    ]  # fmt: skip
    print_trials(plain_console(), SweepResult(space, pd.DataFrame(rows), Path("out")))
    lines = capsys.readouterr().out.splitlines()
    for number, word in enumerate(WORDS):
        assert [line.split()[-1] for line in lines if line.startswith(f"t{number} ")] == [word]
    assert lines[-1] == "* start point"


@pytest.mark.parametrize("word", WORDS)
def test_a_trials_error_is_printed_as_it_is(space, word, capsys, tmp_path):
    error_file = tmp_path / "error.txt"
    error_file.write_text(f"Failure # 1 (occurred now)\nThe actor died because of {word}.\n")
    progress = SweepProgress(space)
    progress.setup()
    trial = SimpleNamespace(trial_id="t0", num_failures=1, error_file=str(error_file), latest_checkpoint_result=None)
    progress.on_trial_recover(0, [trial], trial)
    assert f"died because of {word}." in capsys.readouterr().out
