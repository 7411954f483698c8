"""What an experiment prints at its end."""

from rich.console import Console

from fedray.experiment.report import print_scores


def printed(*arguments):
    console = Console(width=100, record=True)
    print_scores(console, *arguments)
    return " ".join(console.export_text().split())


def test_epsilon_stands_in_the_final_table():
    scores = {"fid/domain-cnn/16": 3.0}
    assert "privacy spent: epsilon at delta 1e-05 16.49" in printed(scores, {}, (16.49, 1e-5))
    assert "privacy" not in printed(scores, {})
