"""What jobs write, without what they compute: an experiment of sums in this process, run by the functions of jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedray.config import ExperimentConfig
from fedray.evaluation import SelfTest
from fedray.experiment import prepare
from fedray.experiment import run as running
from fedray.experiment.engines import RoundResult
from fedray.experiment.judging import Evaluation
from fedray.federation import FederationState, RoundReport, latest_round, load_checkpoint, save_round, shared_arrays
from fedray.federation.messages import to_record
from fedray.results import Place
from fedray.results.folder import EXPERIMENT, is_started

FID = "fid/x/16"
SELF_TEST = SelfTest(
    scores={"blur 1 px": {FID: 1.9}},
    floor={FID: 1.0},
    floor_intervals={FID: (0.5, 1.5)},
    intervals={FID: (-0.5, 2.0)},
    rises={"blur 1 px": {FID: (-0.1, 1.9)}},
    skipped={},
)


class Judge:
    """Knows a self-test and no extractor."""

    floor = SELF_TEST.floor
    extractor = None
    quality = None
    self_test = SELF_TEST


class SumRun:
    """An experiment whose network is a number that grows: its state is kept as that of any other."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config, self.due = config, True
        self.state = FederationState(to_record({"sum": np.ones(64, np.float32)}))

    @property
    def done(self) -> bool:
        return self.state.round_index == self.config.federation.num_rounds

    def step(self) -> RoundResult:
        index = self.state.round_index + 1
        self.state = FederationState(to_record({"sum": shared_arrays(self.state)["sum"] * 1.5 + index}), index)
        report = RoundReport(index, {"x": self.sum}, {}, 2, 0, 0.0, {}, None)
        return RoundResult(report, self.evaluate())

    @property
    def sum(self) -> float:
        return float(shared_arrays(self.state)["sum"][0])

    def evaluate(self, seed: int | None = None) -> Evaluation:
        return Evaluation({FID: self.sum}, np.zeros((2, 1, 4, 4, 3), np.uint8))

    def preview(self) -> None:
        return None

    def save(self, folder: Path) -> None:
        save_round(folder, self.state, {})

    def load(self, folder: Path) -> None:
        if newest := latest_round(folder):
            self.state = load_checkpoint(newest)[0]


class Untold:
    """Tells MLflow nothing."""

    def open(self, *arguments: Any) -> Any:
        run = SimpleNamespace(
            run_id="run", real_tiles=True, flush=lambda: True, log_artifact=lambda path: path.read_bytes()
        )
        return SimpleNamespace(**vars(run), finish=lambda status: None)

    def begin(self, *arguments: Any) -> dict[str, str]:
        return {}

    def on_round(self, *arguments: Any) -> Any:
        return lambda result: None

    def end(self, *arguments: Any) -> None:
        return None


class _Picture:
    """In the place of a figure, which takes longer than all the rest."""

    def savefig(self, file: Any, **options: Any) -> None:
        file.write(bytes(100))


@contextmanager
def _opened(config: ExperimentConfig, *arguments: Any) -> Iterator[SumRun]:
    yield SumRun(config)


def without_computing(patch: pytest.MonkeyPatch) -> None:
    """Put the sums in the place of workers, judge and tracking; all that writes stays."""
    nothing = SimpleNamespace(connect=lambda: None, check_reach=lambda *_: None, plan_workers=lambda *_: None,
                              check_tracking=lambda *_: None, cluster_name=lambda: "none")  # fmt: skip
    for name, function in vars(nothing).items():
        patch.setattr(running, name, function)
    prepared = [{"evaluation/extractor.safetensors": bytes(100)}, "fingerprint"]
    patch.setattr(running, "prepare_judge", lambda *_: (Judge(), prepared))
    patch.setattr(running, "open_experiment", _opened)
    patch.setattr(running, "check_config", lambda *_: None)  # it builds the networks
    patch.setattr(prepare, "ray", SimpleNamespace(get=lambda files: files))
    patch.setattr("fedray.experiment.self_tested.draw_self_test", lambda test: _Picture())
    patch.setattr("fedray.results.pictures.draw_preview", lambda *_, **__: np.zeros((8, 8, 3), np.uint8))


def run_or_resume(config: ExperimentConfig, out: Path) -> running.Result:
    """Do as the job does: with ``--resume`` where something has begun, and by the same command where not."""
    place = Place.at(out)
    config = running.saved_config(place) if is_started(place, EXPERIMENT) else config
    return run_as_told(config, place)


def run_as_told(config: ExperimentConfig, out: Path | Place) -> running.Result:
    """Do as the job does that is given this configuration."""
    return running.run_experiment(config, out=out, tracking_uri="sqlite:///none", telling=Untold())
