"""Logins come from a file: what is in it, who may read it, and that no message shows it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedray.cli.options import run_job
from fedray.logins import SecretsError, read_secrets

ROOT = Path(__file__).parents[1]


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes, mode: int = 0o600) -> str:
        path = tmp_path / "secrets"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return str(path)

    return write


def test_lines_are_taken_as_a_shell_would(file):
    place = file("# of the consortium\n\nexport A=b=c\n B_2='two words' \nC=\"d\"\nD=\nE=it's\n")
    assert read_secrets(place) == {"A": "b=c", "B_2": "two words", "C": "d", "D": "", "E": "it's"}
    by_bash = subprocess.run(
        ["bash", "-c", f'. <(grep -v "^E=" {place}); printf "%s|" "$A" "$B_2" "$C" "$D"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert by_bash.stdout == "b=c|two words|d||"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        ("PASSWORD=hunter2", 0o644, r"open to every user \(mode 644\): chmod 600"),
        ("PASSWORD=hunter2", 0o602, "open to every user"),
        ("PASSWORD=a\nhunter2", 0o600, "line 2 is none of NAME=VALUE; correct it"),
        (b"PASSWORD=hunter2\xff", 0o600, "cannot be read"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_without_a_word_of_what_is_in_it(file, content, mode, problem):
    with pytest.raises(SecretsError, match=problem) as refused:
        read_secrets(file(content, mode))
    assert "hunter2" not in str(refused.value)


def test_a_group_may_read_it_as_kubernetes_mounts_secrets(file):
    assert read_secrets(file("A=b", 0o440)) == {"A": "b"}


def test_a_job_ends_before_it_begins_if_the_file_is_not_there(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FEDRAY_SECRETS", str(tmp_path / "none"))
    assert run_job(lambda words: pytest.fail("the job has begun")) == 2
    assert "No such file or directory); correct or unset it" in capsys.readouterr().err


def settled(**variables: str) -> list[str]:
    """What a new process, which imports FedRay, and one that it starts, have of the tracking server."""
    names = ",".join(f"$MLFLOW_TRACKING_{name}" for name in ("URI", "USERNAME", "PASSWORD"))
    code = f"import fedray, os; os.system('echo {names}')"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "FEDRAY_SECRETS"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=plain | {"PYTHONPATH": str(ROOT)} | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip().split(",")


def test_processes_have_what_is_in_it_and_keep_what_they_had(file):
    place = file("MLFLOW_TRACKING_USERNAME=ada\nMLFLOW_TRACKING_PASSWORD=engine\n")
    assert settled(FEDRAY_SECRETS=place) == ["", "ada", "engine"]
    assert settled(FEDRAY_SECRETS=place, MLFLOW_TRACKING_USERNAME="bob") == ["", "bob", "engine"]


def test_a_login_in_an_address_leaves_it_for_addresses_are_printed_and_kept():
    address = "https://ada:p%40ss@mlflow.example.org/x"
    assert settled(MLFLOW_TRACKING_URI=address) == ["https://mlflow.example.org/x", "ada", "p@ss"]
    assert settled(MLFLOW_TRACKING_URI="sqlite:////a@b/mlflow.db") == ["sqlite:////a@b/mlflow.db", "", ""]
