"""What every job says of itself: for a reader at a terminal, who knows neither our papers' numbers nor reST."""

import re

import pytest

from tests.support.jobs import JOBS

COMMANDS = {"server": ("run", "train"), "site": ("keys", "run", "log")}
"""Of the jobs that have several."""
ALL_JOBS = [(path.stem, command) for path in sorted(JOBS.glob("*.py")) for command in COMMANDS.get(path.stem, ("",))]
_MARKUP = re.compile(r"``|:[a-z]+:`|\bS[12]\b|\[/?(bold|dim|red)\]")


@pytest.mark.parametrize(("name", "command"), ALL_JOBS)
def test_help_is_plain_text_that_explains_every_option(run, name, command):
    done = run(name, *command.split(), "--help")
    assert (done.status, done.errors) == (0, "")
    assert _MARKUP.findall(done.output) == []
    assert f"jobs/{name}.py" in done.output.replace("\n", " ")
    options = re.split(r"\n[│ ]+--(?=[a-z])", done.output)[1:]
    assert len(options) >= 3 or "positional arguments" in done.output
    bare = [option.split()[0] for option in options if len(re.findall(r"[a-z]{2,}", option)) < 4]
    assert bare == [], "options without a word of explanation"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_job_of_several_commands_lists_them_all_and_takes_no_other(run, name):
    done = run(name, "--help")
    listed = re.findall(r"^  (\w+) +[A-Z]", done.output, re.MULTILINE)
    assert (done.status, done.errors, tuple(listed)) == (0, "", COMMANDS[name])
    for words in ((), ("fly",)):
        done = run(name, *words)
        assert (done.status, done.output) == (2, "") and f"  {COMMANDS[name][0]}" in done.errors
