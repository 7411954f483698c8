"""A round in one line of a terminal, and the time that is left."""

import numpy as np
import pytest

from fedray.cli.progress import LINE_LENGTH, RoundLines, clock
from fedray.config import ExperimentConfig, override
from fedray.experiment.engines import RoundResult
from fedray.experiment.judging import Evaluation
from fedray.federation import RoundReport

LABELS = {f"kid/efficientnet-lite0/256/label/{'x' * 100} {number}": 1.0 for number in range(50)}
SCORES = {
    "fid/efficientnet-lite0/256": 1234.5678,
    "kid/efficientnet-lite0/256": 0.00123456,
    "c2st/texture/256": 0.98765,
    "c2st/efficientnet-lite0/256": 0.5,
    "coverage/efficientnet-lite0/256": 0.54321,
    **LABELS,
}
LOSSES = {"discriminator/loss": -1.23456, "generator/loss": 0.000123456, "discriminator/wasserstein": 3.0}


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def __call__(self):
        return self.now


def config(num_rounds, every=1):
    changes = {"federation.num_rounds": num_rounds, "evaluation.every": every}
    return override(ExperimentConfig(), changes, "test")


def result(round_index, scores=SCORES, losses=LOSSES, epsilon=None, round_s=1.5, evaluation_s=0.0):
    report = RoundReport(
        round_index, losses, {"num-examples": 40}, 2, 0, round_s, times={}, utilisation=None, epsilon=epsilon
    )
    preview = np.zeros((2, 1, 16, 16, 3), np.uint8)
    return RoundResult(report, None if scores is None else Evaluation(scores, preview, evaluation_s))


def test_what_a_line_says():
    time = Clock()
    lines = RoundLines(config(100), SCORES, now_s=time)
    time.now += 75
    assert lines.line(result(9, round_s=37.3)) == (
        "round   9/100  fid 1235      kid 0.00123   c2st 0.988  cover 0.54  D -1.23      G 0.000123      1:15 gone"
        "    56:34 left"
    )


@pytest.mark.parametrize(
    ("round_index", "num_rounds", "scale", "epsilon"),
    [(1, 10, 1, None), (10, 10, 1e-9, None), (9, 100, 1e12, None), (7, 2000, -1e-30, 4.71), (12345, 99999, 1e300, 1e9)],
)  # fmt: skip
@pytest.mark.parametrize("length", [LINE_LENGTH, 100, 80])
def test_a_round_is_one_line_of_a_terminal(round_index, num_rounds, scale, epsilon, length):
    scores = {name: value * scale if name.startswith(("fid", "kid")) else value for name, value in SCORES.items()}
    losses = {name: value * scale for name, value in LOSSES.items()}
    lines = RoundLines(config(num_rounds), SCORES, length)
    line = lines.line(result(round_index, scores, losses, epsilon))
    assert len(line) <= length <= 120 and "\n" not in line
    assert line.startswith(f"round {round_index:>{len(str(num_rounds))}}/{num_rounds}  fid ")
    assert "  kid " in line and " gone " in line and line.endswith(" left")
    if length == LINE_LENGTH:
        assert "  c2st 0.988  cover 0.54" in line and ("  eps " in line) == (epsilon is not None)
        assert "  G " in line or abs(scale) != 1  # the last column gives way to figures of unlikely lengths


def test_rounds_stand_below_each_other_whether_evaluated_or_not():
    lines = RoundLines(config(10, every=2), SCORES)
    told = [
        lines.line(result(1, None)),
        lines.line(result(2)),
        lines.line(result(9, None, {name: -1e9 * value for name, value in LOSSES.items()}, round_s=4000)),
        lines.line(result(10, {name: value / 1e3 for name, value in SCORES.items()})),
    ]
    for column in ("  D ", "  G ", " gone ", " left"):
        assert len({line.index(column) for line in told}) == 1
    assert "fid" not in told[0] and "cover" not in told[2]


@pytest.mark.parametrize(
    "given", [["kid/inception-v3-compat/64"], ["fid/efficientnet-lite0/64", "kid/efficientnet-lite0/64"], []]
)
def test_only_scores_that_an_evaluation_gives_have_a_column(given):
    lines = RoundLines(config(10), given)
    line = lines.line(result(1, dict.fromkeys(given, 1.0)))
    headings = [name.split("/")[0] for name in given]
    assert [word for word in line.split() if word in ("fid", "kid", "c2st", "cover")] == headings


@pytest.mark.parametrize(
    ("num_rounds", "every", "resumed_after", "start_s", "first_s", "round_s", "evaluation_s"),
    [
        (10, 1, 0, 30.0, 9.0, 4.0, 1.0),  # workers that start, and a cold first round, do not come again
        (10, 1, 6, 30.0, 4.0, 4.0, 1.0),
        (12, 5, 0, 20.0, 4.0, 4.0, 7.0),  # evaluated after rounds 5, 10 and 12
        (12, 5, 7, 20.0, 4.0, 4.0, 7.0),
        (7, 7, 0, 0.0, 3.0, 3.0, 100.0),
        (1, 1, 0, 3.0, 2.0, 2.0, 1.0),
    ],
)  # fmt: skip
def test_the_time_left_is_that_of_the_rounds_and_evaluations_left(
    num_rounds, every, resumed_after, start_s, first_s, round_s, evaluation_s
):
    time = Clock()
    lines = RoundLines(config(num_rounds, every), SCORES, now_s=time)
    time.now += start_s
    due = [index for index in range(1, num_rounds + 1) if index % every == 0 or index == num_rounds]
    seen = False
    for index in range(resumed_after + 1, num_rounds + 1):
        took = first_s if index == resumed_after + 1 else round_s
        time.now += took + (evaluation_s if index in due else 0.0)
        seen = seen or index in due
        line = lines.line(result(index, SCORES if index in due else None, round_s=took, evaluation_s=evaluation_s))
        pace = first_s if index == resumed_after + 1 else round_s
        evaluations = sum(each > index for each in due) * evaluation_s if seen else 0.0
        expected = (num_rounds - index) * pace + evaluations
        assert line.split()[-2] == clock(expected)
        assert line.split()[-4] == clock(time.now - 100)
    assert line.endswith(" 0:00 left")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00"), (45296, "12:34:56"),
     (359_999, "99:59:59"), (360_000, "4 d 4 h")],
)  # fmt: skip
def test_times_are_written_as_on_a_clock(seconds, text):
    assert clock(seconds) == text
