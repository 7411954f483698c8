"""An experiment whose tiles are at the sites: the server trains and samples, and opens no store."""

import time

import numpy as np
from flwr.serverapp import Grid

from fedray.config import ExperimentConfig
from fedray.data import Census
from fedray.deployment.scores import SiteScores
from fedray.experiment.engines import ExperimentRun
from fedray.experiment.engines.base import with_noise_of
from fedray.experiment.judging import Evaluation
from fedray.experiment.judging.samples import PREVIEW_TILES
from fedray.experiment.stopping import is_done
from fedray.federation import shared_arrays
from fedray.learning import training_device
from fedray.randomness import torch_stream
from fedray.results.pictures import Preview
from fedray.results.start import Start
from fedray.tasks import Sampler, judged_arrays, task_of


class SitesRun(ExperimentRun):
    """An experiment on a grid of sites. See :class:`fedray.experiment.engines.Run`."""

    def __init__(self, config: ExperimentConfig, grid: Grid, census: Census, start: Start | None = None) -> None:
        """Stand before round 1. Arguments as of :class:`fedray.experiment.engines.ExperimentRun`."""
        super().__init__(config, grid, census=census, start=start)
        self._sites = SiteScores.ask(grid, config) if self._sampler() is not None else None

    @property
    def due(self) -> bool:
        """Whether the last round is one of which the server has something to show."""
        turn = is_done(self.config, self.state) or self.state.round_index % self.config.evaluation.every == 0
        return turn and self._sampler() is not None

    def evaluate(self, seed: int | None = None) -> Evaluation:
        """Score what is trained as it is now by the sites' sums, and sample a few tiles to look at.

        Args:
            seed: Of the noise of scored tiles; unset: the experiment's.
        """
        started, sampler, noise = time.monotonic(), self._sampler(), with_noise_of(self.config, seed).seed
        assert sampler is not None, "what stays with the clients is not evaluated"
        scores = {} if self._sites is None else self._sites.scores(sampler, noise, self.state.round_index)
        return Evaluation(scores, self._shown(sampler), time.monotonic() - started)

    def preview(self) -> Preview | None:
        """Sample a few tiles; None where what makes them stays with the clients, or nothing makes any."""
        return None if (sampler := self._sampler()) is None else self._shown(sampler)

    def _shown(self, sampler: Sampler) -> Preview:
        labels = np.repeat(np.arange(self._census.shape.num_labels), PREVIEW_TILES)
        tiles = sampler.sample(labels, torch_stream(self.config.seed, "preview"))
        return tiles.reshape(-1, PREVIEW_TILES, *tiles.shape[1:])

    def _sampler(self) -> Sampler | None:
        arrays, task = judged_arrays(self.config, shared_arrays(self.state)), task_of(self.config)
        if task.ABILITY != "samples" or not arrays:
            return None
        sampler: Sampler = task.holding(self.config, self._census.shape, training_device(self.config.resources), arrays)
        return sampler
