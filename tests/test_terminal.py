"""What is given away names no folder of the machine that it was made on."""

from pathlib import Path

import pytest

from fedray.terminal import without_folders


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("/home/anna/stores/colon", ".../colon"),
        ("~/stores/colon", ".../colon"),
        ("--data=/home/anna/stores/colon", "--data=.../colon"),
        ("HERE/runs/a", "runs/a"),
        ("--out=HERE/runs/a", "--out=runs/a"),
        ("runs/a", "runs/a"),
        ("s3://bucket/stores/colon", "s3://bucket/stores/colon"),
        ("colon", "colon"),
        (7, 7),
        (None, None),
        ({"data": {"store": "/home/anna/a", "size": 32}, "more": ["/b/c", "d"]},
         {"data": {"store": ".../a", "size": 32}, "more": [".../c", "d"]}),
    ],
)  # fmt: skip
def test_paths_lose_the_folders_of_the_machine(said, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = str(Path.cwd())
    asked = said.replace("HERE", here) if isinstance(said, str) else said
    assert without_folders(asked) == expected
