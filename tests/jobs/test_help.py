"""What every job says of itself: for a reader at a terminal, who knows neither our papers' numbers nor reST."""

import re

import pytest

from tests.support.jobs import JOBS

ALL_JOBS = sorted(path.stem for path in JOBS.glob("*.py"))
_MARKUP = re.compile(r"``|:[a-z]+:`|\bS[12]\b|\[/?(bold|dim|red)\]")


@pytest.mark.parametrize("name", ALL_JOBS)
def test_help_is_plain_text_that_explains_every_option(run, name):
    done = run(name, "--help")
    assert (done.status, done.errors) == (0, "")
    assert _MARKUP.findall(done.output) == []
    assert f"jobs/{name}.py" in done.output.replace("\n", " ")
    options = re.split(r"\n[│ ]+--(?=[a-z])", done.output)[1:]
    assert len(options) >= 3 or "positional arguments" in done.output
    bare = [option.split()[0] for option in options if len(re.findall(r"[a-z]{2,}", option)) < 4]
    assert bare == [], "options without a word of explanation"
