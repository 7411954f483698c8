import io
import sys
from pathlib import Path

import pytest

from fedray.cli.options import JobOptions, parse_job, run_job
from fedray.config import TASKS, ConfigError, ExperimentConfig, load_config
from fedray.terminal import plain_console


class Options(JobOptions):
    config: Path | None = None


def parse(*argv):
    def base(path):
        return load_config(path) if path else ExperimentConfig()

    return parse_job(Options, argv, "config", base, "A job.")


def test_options_override_the_base_file(tmp_path):
    (tmp_path / "base.yaml").write_text("gan: {n_critic: 2, batch_size: 8}\n")
    options = parse("--config", str(tmp_path / "base.yaml"), "--gan.n-critic", "3", "--federation.num-clients", "10")
    assert options.experiment.gan.n_critic == 3
    assert options.experiment.gan.batch_size == 8
    assert options.experiment.federation.num_clients == 10


def test_data_is_short_for_the_store():
    assert parse("--data", "tiles").experiment.data.store == "tiles"


def test_a_base_file_with_problems_is_refused(tmp_path):
    (tmp_path / "base.yaml").write_text("gan: {n_critc: 2}\n")
    with pytest.raises(ConfigError, match=r"did you mean 'gan.n_critic'"):
        parse("--config", str(tmp_path / "base.yaml"))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--gan.n-critc", "2"], "--gan.n-critic"),
        (["--partition.scheme", "random"], "majority-label"),
    ],
)
def test_a_wrong_option_says_what_is_right(argv, expected, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_sections_of_other_tasks_have_neither_options_nor_values(task, capsys, tmp_path):
    def parse(*argv):
        return parse_job(Options, argv, "config", lambda path: ExperimentConfig(task=task), "A job.")

    assert getattr(parse(f"--{task}.batch-size", "3").experiment, task).batch_size == 3
    for other in TASKS.keys() - {task}:
        with pytest.raises(SystemExit):
            parse(f"--{other}.batch-size", "3")
        (tmp_path / "base.yaml").write_text(f"task: {task}\n{other}: {{batch_size: 3}}\n")
        with pytest.raises(ConfigError, match=f"section {other} is for task '{other}', but task is '{task}'"):
            load_config(tmp_path / "base.yaml")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert [name for name in TASKS if f"--{name}." in shown] == [task]


def test_values_out_of_range_are_all_named_as_those_of_a_file_are():
    with pytest.raises(ConfigError) as caught:
        parse("--gan.n-critic", "0", "--federation.client-fraction", "2")
    assert str(caught.value) == (
        "2 problems in the command line:\n"
        "  - gan.n_critic: input should be greater than or equal to 1, but got 0\n"
        "  - federation.client_fraction: input should be less than or equal to 1, but got 2.0"
    )


@pytest.mark.parametrize("more", [["--gan.n-critic", "2"], ["--out", "elsewhere"], ["--data", "tiles"]])
def test_resume_refuses_what_it_would_ignore(more):
    with pytest.raises(ConfigError, match=rf"--resume run continues .* cannot be combined with {more[0]};"):
        parse("--resume", "run", *more)
    assert parse("--resume", "run", "--dry-run").resume == "run"


@pytest.mark.parametrize(("error", "status"), [(ConfigError("no"), 2), (KeyboardInterrupt(), 130)])
def test_a_job_ends_with_a_status_and_one_line(error, status, capsys):
    def job(argv):
        raise error

    assert run_job(job) == status
    assert capsys.readouterr().err == ("error: no\n" if status == 2 else "stopped\n")


def test_help_explains_every_field(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "--gan.gradient-penalty" in shown
    assert "Discriminator steps per generator step" in shown


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "Größe ≥ 3"), ("ascii", r"Gr\xf6\xdfe \u2265 3")])
def test_a_job_prints_every_name_on_every_terminal(monkeypatch, encoding, shown):
    """File names are bytes: what is no UTF-8 comes as a surrogate, which no terminal takes."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(sys, "argv", ["job"])
    assert run_job(lambda argv: plain_console().print("Größe ≥ 3 [red] \udcff.png", soft_wrap=True)) == 0
    sys.stdout.flush()
    assert written.getvalue().decode(encoding) == f"{shown} [red] \\udcff.png\n"
