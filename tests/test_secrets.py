"""Logins come from a file, and stand on no command line, in no job's description and on no page of ours."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.pages import SHELL, blocks_of

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md", "*.yaml", "*.sh", "*.example", "*.py", "Makefile", ".ci/run"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()
    if not name.startswith("tests/")
]  # fmt: skip
# A name of a secret; of a path to one, or of a setting, it is none.
SECRET = r"(?:[A-Z0-9_]*(?:PASSWORD|SECRET|TOKEN|ACCESS_KEY)(?!S\b|[A-Z_]*_(?:PATH|FILE|URI)\b)[A-Z0-9_]*)"
PROGRAM = r"\b(?:jq|docker|psql|openssl|mlflow)\b"
ON_A_COMMAND_LINE = {
    "a job's description, which Ray keeps, logs and shows": [rf"\bray job submit\b.*{SECRET}", rf"env_vars.*{SECRET}"],
    "a value after kubectl's option": [rf"--from-literal=['\"]?{SECRET}"],
    "curl's login": [r"\bcurl\b.*(?:--user|-u)[ =]['\"]?[^\s'\"]+:"],
    "curl's data": [r"\bcurl\b.*(?:--json|--data)\S*[ =]['\"]\{?.*password"],
    "an argument of another program": [rf"{PROGRAM}.*(?:--arg|-e|--env|-pass)\b.*{SECRET.lower()}"],
    "a password in the shell's history": [rf"(?:export|^) *[^#]*(?<!from-file=)\b{SECRET}=(?!\$|\"\$|<|\{{)[^\s=]"],
}


def commands(text: str) -> list[str]:
    """Lines as a shell reads them: what ends in a backslash or within an open quote goes on."""
    text = re.sub(r"\\\n\s*", " ", text)
    return re.sub(r"('[^'\n]*)\n\s*([^'\n]*')", r"\1 \2", text).splitlines()


def found_in(text: str) -> list[str]:
    return [
        f"{what}: {line.strip()}"
        for line in commands(text)
        for what, patterns in ON_A_COMMAND_LINE.items()
        if any(re.search(pattern, line) for pattern in patterns)
    ]


@pytest.mark.parametrize(
    "text",
    [
        # As the pages had it.
        'export JOB=\'{"env_vars": {"MLFLOW_TRACKING_URI": "https://HOST",\n  "MLFLOW_TRACKING_PASSWORD": "\'$P\'"}}\'',
        'kubectl create secret generic x \\\n    --from-literal=POSTGRES_PASSWORD="$(openssl rand -hex 24)"',
        'curl http://localhost:5000 \\\n --user "admin:$(secret mlflow-server MLFLOW_AUTH_ADMIN_PASSWORD)"',
        'curl http://localhost:5000 --json "{\\"username\\": \\"fedray\\", \\"password\\": \\"$(secret)\\"}"',
        "jq -n --arg p \"$password\" '{password: $p}'",
        "export MLFLOW_TRACKING_USERNAME=ada MLFLOW_TRACKING_PASSWORD=...",
        "FEDRAY_PATIENT_SECRET='a long secret' python jobs/prepare_data.py",
    ],
)
def test_the_scan_finds_what_it_is_for(text):
    assert found_in(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_puts_a_secret_on_a_command_line(page):
    text = page.read_text(encoding="utf-8")
    shell = "\n".join(block.text for block in blocks_of(page, SHELL)) if page.suffix == ".md" else text
    assert found_in(shell) == []
