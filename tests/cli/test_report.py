"""What an experiment says: users' words as they are."""

import pytest
from rich.console import Console
from rich.text import Text

from fedray.cli.report import print_scores
from fedray.config import ExperimentConfig, override
from fedray.experiment.judging import Heading
from fedray.experiment.tracked import default_run_name
from fedray.terminal import plain_console

WORDS = [
    "[red]",
    "[/red] off",
    "[bold]x[/bold]",
    ":skull:",
    "Nevus [dysplastic]",
    r"\[red]",
    "[link=file:///x]y[/link]",
]

HEADING = Heading("Scores of the averaged generator", "generated", "real tiles (floor)")


@pytest.mark.parametrize("word", WORDS)
def test_names_are_printed_as_they_are(word, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    console = plain_console()
    print_scores(console, {f"kid/efficientnet-lite0/16/label/{word}": 1.0}, {}, HEADING)
    console.print(f"Results: {word}/", soft_wrap=True)
    console.print(Text(word, style="bold"))
    output = capsys.readouterr().out
    assert f"kid/efficientnet-lite0/16/label/{word}" in output
    assert f"Results: {word}/" in output
    assert output.endswith(f"{word}\n")


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


def printed(scores, floor, *spent):
    console = Console(width=100, record=True)
    print_scores(console, scores, floor, HEADING, *spent)
    return " ".join(console.export_text().split())


def test_the_quality_of_a_trained_extractor_stands_below_the_final_table():
    told = "domain-cnn tells labels apart: balanced accuracy 0.78 on 190 test tiles (guessing: 0.333)"
    console = Console(width=60, record=True)
    print_scores(console, {"fid/domain-cnn/16": 3.0}, {}, HEADING, quality=told)
    assert " ".join(console.export_text().split()).endswith(told)


def test_epsilon_stands_in_the_final_table():
    scores = {"fid/efficientnet-lite0/16": 3.0}
    assert "privacy spent: epsilon at delta 1e-05 16.49" in printed(scores, {}, (16.49, 1e-5))
    assert "privacy" not in printed(scores, {})


def test_the_final_table_says_direction_interval_and_floor_of_every_score():
    scores = {
        "fid/domain-cnn/64": 3.14159, "kid/domain-cnn/64": 0.5, "kid/domain-cnn/64/label/a": 0.25,
        "coverage/domain-cnn/64": 0.125, "c2st/texture/64": 0.9375, "c2st/texture/64/label/a": 0.8,
        "c2st-low/texture/64": 0.87, "c2st-low/texture/64/label/a": 0.71,
        "c2st-high/texture/64": 0.97, "c2st-high/texture/64/label/a": 0.86,
    }  # fmt: skip
    text = printed(scores, {"fid/domain-cnn/64": 1.5, "coverage/domain-cnn/64": 0.9375, "c2st/texture/64": 0.5625})
    assert "fid/domain-cnn/64 lower 3.142 1.5 kid/domain-cnn/64 lower 0.5 .../label/a lower 0.25" in text
    assert "coverage/domain-cnn/64 higher 0.125 0.9375 c2st" in text
    assert "c2st/texture/64 lower 0.9375 0.870 to 0.970 0.5625" in text
    assert ".../label/a lower 0.8 0.710 to 0.860" in text
    assert "c2st-" not in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_names_of_labels_are_whole_whatever_the_width_and_those_of_all_tiles_in_one_line_of_80(width):
    labels = ("adenocarcinoma of the ascending colon", "adenoma")
    whole = ["kid/efficientnet-lite0/190", "coverage/efficientnet-lite0/190"]
    names = [name for score in whole for name in (score, *(f"{score}/label/{label}" for label in labels))]
    console = Console(width=width, record=True)
    print_scores(console, dict.fromkeys(names, 0.04688), dict.fromkeys(names, 0.1003), HEADING)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert sum("0.1003" in line for line in lines) == len(names), "no column is cut off"
    heads = [line.split()[0] for line in lines if "0.1003" in line]
    if width >= 80:
        assert [head for head in heads if head[0] != "."] == whole
    words = "".join("".join(line.split(" lower ")[0].split(" higher ")[0].split()) for line in lines)
    assert words.count(".../label/adenocarcinomaoftheascendingcolon") == words.count(".../label/adenoma") == 2
