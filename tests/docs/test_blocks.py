"""Every code block of the pages: Python runs, YAML is read by its readers, commands by their own parsers."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import tyro
import yaml
from PIL import Image

from fedray.config import ConfigError, ExperimentConfig, load_config, save_config, validate
from fedray.data import TileStore, tile_shape, write_store
from fedray.experiment.tracked import log_model
from fedray.studies import load_study, plan_study
from fedray.sweep import load_space
from fedray.tasks.gan import fresh_gan
from fedray.tracking import Tracker
from tests.support.federation_app import client_app, make_server_app
from tests.support.jobs import load
from tests.support.left import leave
from tests.support.pages import ROOT, SHELL, Block, Command, blocks, commands
from tests.support.small import NewDatabase, random_tiles

WITHOUT_FEDRAY = [b for b in blocks("python") if b.page.name == "tracking.md" and "from fedray" not in b.text]
"""What somebody does with runs and models who has MLflow alone: run in a process in which FedRay cannot be imported."""


@pytest.fixture
def reader(tmp_path: Path, small_store: TileStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who follows the pages: with a store, a configuration and a finished sweep."""
    folder = tmp_path / "reader"
    (folder / "stores").mkdir(parents=True)
    (folder / "stores" / "photos").symlink_to(small_store.path)
    for name in ("small.yaml", "runs/NAME/best.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_config(ExperimentConfig(), folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def python_pages() -> list[list[Block]]:
    """The Python blocks of each page: a reader types one after the other."""
    found = [block for block in blocks("python", "py") if block not in WITHOUT_FEDRAY]
    return [[block for block in found if block.page == page] for page in dict.fromkeys(block.page for block in found)]


@pytest.mark.parametrize("page", python_pages(), ids=lambda page: page[0].page.name)
def test_python_blocks_run(page: list[Block], reader: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    names: dict[str, Any] = {}
    if "fedray.simulation" in "".join(block.text for block in page):
        request.getfixturevalue("ray_session")
        names = {"server_app": make_server_app(str(tmp_path / "result.npz")), "client_app": client_app}
    if "Finished.open" in "".join(block.text for block in page):
        request.getfixturevalue("finished_run")
    for block in page:
        try:
            exec(compile(block.text, str(block), "exec"), names)
        except Exception as error:
            pytest.fail(f"the block at {block} does not run: {type(error).__name__}: {error}")


@pytest.fixture
def finished_run(reader: Path, new_database: NewDatabase, small_config: Any) -> None:
    """The reader's folder has a finished experiment, on tiles of the labels that the embedded store has."""
    store = write_store(reader / "stores" / "tissue", random_tiles(), label_names=["gland", "stroma"])
    leave(small_config(data__store=str(store.path)), reader / "runs" / "federated", new_database(reader))


_SAY = """
print(best.model_uri, tiles.shape)
print("fingerprint", about.metadata["dataset-fingerprint"])
for spec in about.signature.inputs:
    print(spec.name, spec.type.name, spec.shape[1:])
"""


@pytest.fixture
def logged(reader: Path, new_database: NewDatabase, tmp_path: Path) -> Path:
    """The reader's MLflow database holds two generators that know two domains; the second has the best score."""
    store = write_store(
        tmp_path / "domains", random_tiles(), label_names=["Ki67<14%", "Ki67>14%"], domain_names=["scanner [a]", "b//c"]
    )
    gan = {"generator": "residual", "latent_dim": 8, "generator_channels": 8}
    config = validate(ExperimentConfig, {"data": {"store": str(store.path)}, "gan": gan}, "test")
    tracker = Tracker(new_database(reader), "fedray")
    for number, score in enumerate((7.0, 2.0)):
        run = tracker.start_run(f"run {number}", params={"gan.n_critic": 5}, tags={"fedray.outcome": "complete"})
        scores = {"fid/efficientnet-lite0/256": score}
        run.log_round(3, scores)
        arrays = fresh_gan(config.gan, tile_shape(config.data), number, "cpu").arrays()
        log_model(run, config, arrays, store, 3, scores, {})
        run.finish("FINISHED")
    return reader


def test_the_pages_generator_is_the_best_one_and_needs_no_fedray(logged: Path) -> None:
    """The blocks of docs/tracking.md in a fresh process."""
    code = [block.text for block in WITHOUT_FEDRAY]
    script = "\n".join(["import sys; sys.modules['fedray'] = None", *code, _SAY])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=environment, cwd=logged, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "run 1" in done.stdout
    assert "'label-names': ['Ki67<14%', 'Ki67>14%']" in done.stdout
    assert "'domain-names': ['scanner [a]', 'b//c']" in done.stdout
    assert "torch.Size([8, 3, 16, 16])" in done.stdout
    assert Image.open(logged / "generated.png").size == (16, 16)
    [best] = re.findall(r"models:/m-\w+", done.stdout)
    client = mlflow.MlflowClient(f"sqlite:///{logged / 'mlflow.db'}")
    model = client.get_logged_model(best.removeprefix("models:/"))
    assert [metric.value for metric in model.metrics] == [2.0]
    assert f"fingerprint {model.tags['fedray.dataset-fingerprint']}" in done.stdout
    for spec in ("noise float32 (8,)", "labels int64 ()", "domains int64 ()"):
        assert spec in done.stdout.splitlines()


@pytest.mark.parametrize("block", blocks("yaml", "yml"), ids=str)
def test_yaml_blocks_are_read_by_what_reads_them(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(block.text)
    content = yaml.safe_load(block.text)
    assert content is not None, f"the block at {block} holds nothing"
    if "search" in content:
        load_space(path)
    elif "experiments" in content:
        plan_study(load_study(path), tmp_path / "out")
    elif set(content) & set(ExperimentConfig.model_fields):
        load_config(path)


class ParsedError(Exception):
    """A command line was parsed; its options are the argument."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, reader: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Return ``parse(command)``: the options of a job, by its own parser; nothing is started."""
    real = tyro.cli

    def cli(*arguments: Any, **options: Any) -> None:
        raise ParsedError(real(*arguments, **options))

    monkeypatch.setattr(tyro, "cli", cli)

    def parse(command: Command) -> Any:
        job = load(Path(command.words[1]).stem)
        try:
            job.main(command.words[2:])
        except ParsedError as parsed:
            return parsed.args[0]
        except SystemExit as end:
            if end.code in (0, None):
                return None  # --help
            pytest.fail(f"{command}\n{capsys.readouterr().err}")
        except ConfigError as error:
            pytest.fail(f"{command}\n{error}")
        return pytest.fail(f"{command}: the job ended without parsing its options")

    return parse


PYTHON = [command for command in commands("python", "python3") if len(command.words) > 1]


@pytest.mark.parametrize("command", [c for c in PYTHON if c.words[1].startswith("jobs/")], ids=str)
def test_job_commands_are_understood_by_the_jobs(command: Command, parse: Any) -> None:
    assert (ROOT / command.words[1]).is_file(), f"{command}: there is no such job"
    options = parse(command)
    if experiment := getattr(options, "experiment", None):
        validate(ExperimentConfig, experiment.model_dump(warnings=False), command.place)


@pytest.mark.parametrize("command", [c for c in PYTHON if not c.words[1].startswith("jobs/")], ids=str)
def test_other_python_commands_name_what_is_there(command: Command) -> None:
    if command.words[1] == "-m":
        assert importlib.util.find_spec(command.words[2]) is not None, f"{command}: there is no such module"
    elif not command.words[1].startswith("-"):
        assert (ROOT / command.words[1]).is_file(), f"{command}: there is no such file"


@pytest.mark.parametrize("command", commands("make"), ids=str)
def test_make_commands_have_a_target(command: Command) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(command.words[1:]) <= set(targets), command


@pytest.mark.parametrize("command", commands("ray"), ids=str)
def test_ray_commands_name_files_that_are_there(command: Command) -> None:
    named = [word for word in command.words if word.endswith((".yaml", ".yml"))]
    assert [word for word in named if not (ROOT / word).is_file()] == [], command


def test_there_is_something_to_test() -> None:
    """A parser that finds no blocks would pass everything above."""
    assert len(blocks("python")) >= 6
    assert len(PYTHON) >= 20
    assert {Path(command.words[1]).stem for command in PYTHON} >= {"train_gan", "sweep_wgan", "prepare_data", "doctor"}
    assert len(blocks(*SHELL)) > 20
