"""What an experiment says and draws: users' words as they are, and a round in one line of a terminal."""

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.text import Text

from fedray.config import ExperimentConfig, override
from fedray.config.cli import plain_console
from fedray.data import write_store
from fedray.experiment.evaluate import Evaluation
from fedray.experiment.report import LINE_LENGTH, draw_samples, print_scores, round_line
from fedray.experiment.rounds import RoundResult
from fedray.experiment.tracked import default_run_name
from fedray.federation import RoundReport
from tests.small import random_tiles

WORDS = [
    "[red]",
    "[/red] off",
    "[bold]x[/bold]",
    ":skull:",
    "Nevus [dysplastic]",
    r"\[red]",
    "[link=file:///x]y[/link]",
]
FORMULAS = ["$x_1$", r"$\frac{$", "100$ or 50$", "_hidden", "^{", "a_b", "%d"]


def result(round_index: int, scores: dict[str, float] | None, losses: dict[str, float], epsilon: float | None = None):
    report = RoundReport(
        round_index, losses, {"num-examples": 40}, 2, 0, 1.5, times={}, utilisation=None, epsilon=epsilon
    )
    preview = np.zeros((2, 1, 16, 16, 3), np.uint8)
    return RoundResult(report, None if scores is None else Evaluation(scores, preview))


@pytest.mark.parametrize("word", WORDS)
def test_names_are_printed_as_they_are(word, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    console = plain_console()
    print_scores(console, {f"kid/domain-cnn/16/label/{word}": 1.0}, {})
    console.print(f"Results: {word}/", soft_wrap=True)
    console.print(Text(word, style="bold"))
    output = capsys.readouterr().out
    assert f"kid/domain-cnn/16/label/{word}" in output
    assert f"Results: {word}/" in output
    assert output.endswith(f"{word}\n")


@pytest.mark.parametrize("word", FORMULAS)
def test_names_are_drawn_as_they_are(word, tmp_path):
    store = write_store(tmp_path / "store", random_tiles(), label_names=[word, "other"])
    figure = draw_samples(store, np.zeros((2, 3, 16, 16, 3), np.uint8), title=f"trial {word}")
    picture = io.BytesIO()
    figure.savefig(picture)  # here matplotlib sets the texts
    assert Image.open(picture).width > 100
    labels = [axes.yaxis.label for axes in figure.axes]
    assert labels[0].get_text() == f"{word}\nreal"
    assert not any(text.get_parse_math() for text in (*labels, figure._suptitle))


LOSSES = {"discriminator/loss": -1.23456, "generator/loss": 0.000123456, "discriminator/wasserstein": 3.0}


@pytest.mark.parametrize(
    ("round_index", "num_rounds", "scale", "epsilon"),
    [(1, 10, 1, None), (10, 10, 1e-9, None), (9, 100, 1e12, None), (7, 2000, -1e-30, 4.71), (12345, 99999, 1e300, 1e9)],
)  # fmt: skip
def test_a_round_is_one_line_of_a_terminal(round_index, num_rounds, scale, epsilon):
    labels = {f"kid/domain-cnn/256/label/{'x' * 100} {number}": 1.0 for number in range(50)}
    scores = {"fid/domain-cnn/256": 1234.5678 * scale, "kid/domain-cnn/256": 0.00123456 * scale, **labels}
    losses = {name: value * scale for name, value in LOSSES.items()}
    line = round_line(result(round_index, scores, losses, epsilon), num_rounds)
    assert len(line) <= LINE_LENGTH == 80 and "\n" not in line
    assert line.startswith(f"round {round_index:>{len(str(num_rounds))}}/{num_rounds}  fid ")
    assert "  kid " in line and "  D " in line and ("  eps " in line) == (epsilon is not None)
    assert ("  G " in line) == (num_rounds <= 100)  # the last column gives way to figures of unlikely lengths


def test_rounds_stand_below_each_other_whether_evaluated_or_not():
    scores = {"fid/domain-cnn/16": 1234.5678, "kid/domain-cnn/16": 0.0123456}
    lines = [
        round_line(result(9, scores, LOSSES), 10),
        round_line(result(10, {name: value / 1e7 for name, value in scores.items()}, LOSSES), 10),
        round_line(result(10, None, {name: -1e9 * value for name, value in LOSSES.items()}), 10),
    ]
    assert lines[0] == "round  9/10  fid 1235       kid 0.0123     D -1.23      G 0.000123"
    for column in ("  D ", "  G "):
        assert len({line.index(column) for line in lines}) == 1
    assert "fid" not in lines[2]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "wgan-gp small, seed 0"),
        ({"seed": 3, "federation.mode": "centralised"}, "wgan-gp small, centralised, seed 3"),
        (
            {"partition.scheme": "dirichlet", "partition.alpha": 0.1, "gan.discriminator": "resnet18"},
            "wgan-gp small, dirichlet, resnet18, alpha 0.1, seed 0",
        ),
        ({"gan.objective": "acgan", "gan.n_critic": 1, "gan.augment": False}, "acgan small, no augment, seed 0"),
        ({"gan.objective": "acgan", "gan.n_critic": 3}, "acgan small, n critic 3, seed 0"),
        ({"resources.num_workers": 3, "evaluation.num_samples": 16, "data.store": "x"}, "wgan-gp small, seed 0"),
        (
            {"federation.num_clients": 9, "federation.num_rounds": 3, "federation.local_epochs": 2, "gan.batch_size": 8,
             "gan.latent_dim": 8, "gan.beta1": 0.1, "federation.strategy": "krum"},
            "wgan-gp small, krum, latent dim 8, batch size 8, beta1 0.1, num clients 9, num rounds 3, ..., seed 0",
        ),
        ({"tracking.run_name": "mine [red]", "seed": 4}, "mine [red]"),
    ],
)  # fmt: skip
def test_a_runs_name_says_what_differs_from_the_defaults(small_store, changes, name):
    assert default_run_name(override(ExperimentConfig(), changes, "test").resolved(), small_store) == name


def printed(*arguments):
    console = Console(width=100, record=True)
    print_scores(console, *arguments)
    return " ".join(console.export_text().split())


def test_epsilon_stands_in_the_final_table():
    scores = {"fid/domain-cnn/16": 3.0}
    assert "privacy spent: epsilon at delta 1e-05 16.49" in printed(scores, {}, (16.49, 1e-5))
    assert "privacy" not in printed(scores, {})
