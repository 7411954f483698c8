"""What runs an experiment, a round at a time: the same to a plain run, a Tune trial and a deployment."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedray.config import ExperimentConfig
from fedray.experiment.judging import Evaluation
from fedray.federation import FederationState, RoundReport
from fedray.results.pictures import Preview
from fedray.storage import digest


def checkpoint_of(config: ExperimentConfig) -> str:
    """Name what a checkpoint is of: a digest of the configuration, without who computes and where the tiles lie.

    And without how many rounds there shall be: a run that goes on for longer is the same.
    """
    content = config.model_dump(mode="json", exclude={"tracking", "resources"})
    content["data"].pop("store")
    content["federation"].pop("num_rounds")
    return digest(json.dumps(content, sort_keys=True).encode())


def with_noise_of(config: ExperimentConfig, seed: int | None) -> ExperimentConfig:
    """Have tiles that are judged made from the noise of another seed; unset: of the experiment's own."""
    return config if seed is None else config.model_copy(update={"seed": seed})


EPSILON = "privacy/epsilon"
"""Figure of what was spent until a round."""


@dataclass(frozen=True)
class RoundResult:
    """A round and, where it was evaluated, its scores."""

    report: RoundReport
    evaluation: Evaluation | None

    @property
    def metrics(self) -> dict[str, float]:
        """All figures of the round by name: scores, losses, counts, times.

        Scores have the names that come first by the alphabet: MLflow's views begin with the first metric.
        """
        report = self.report
        figures = {
            "round-seconds": report.duration_s,
            "round/clients": report.num_clients,
            "round/clients-failed": report.num_failed,
            **{f"round-seconds/{part}": seconds for part, seconds in report.times.items()},
        }
        if report.utilisation is not None:
            figures["worker-utilisation"] = report.utilisation
        if report.epsilon is not None:
            figures[EPSILON] = report.epsilon
        if self.evaluation is not None:
            figures["scoring-seconds"] = self.evaluation.seconds
            if self.evaluation.validation is not None:
                figures["validation/loss"] = self.evaluation.validation
        figures |= report.figures
        scores = self.evaluation.scores if self.evaluation else {}
        return {
            **scores,
            **{f"loss/{name}": value for name, value in report.losses.items()},
            **figures,
            **{f"round/{name}": value for name, value in report.counts.items()},
        }


class Run(Protocol):
    """A running experiment."""

    config: ExperimentConfig
    state: FederationState

    @property
    def done(self) -> bool:
        """Whether all rounds are done."""
        ...

    @property
    def due(self) -> bool:
        """Whether the last round is one that is evaluated."""
        ...

    def step(self) -> RoundResult:
        """Run the next round, and evaluate it where its turn has come.

        Raises:
            DivergedError: A loss, a weight, a moment or a tile is not finite, or a loss has exploded.
            FederationError: Too many clients failed, or the training did.
        """
        ...

    def evaluate(self, seed: int | None = None) -> Evaluation:
        """Judge what is trained as it is now.

        Args:
            seed: Of the noise that tiles are made from; unset: the experiment's.

        Raises:
            DivergedError: It makes tiles, or gives answers, that are not finite.
        """
        ...

    def preview(self) -> Preview | None:
        """Show what is trained as it is now, unjudged; None where it stays with the clients, or shows nothing."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint from which :meth:`load` continues as if nothing had happened, and remove older ones.

        Args:
            folder: Of this experiment's checkpoints.
        """
        ...

    def load(self, folder: Path) -> None:
        """Continue from the newest checkpoint in a folder; without any, from the beginning."""
        ...
