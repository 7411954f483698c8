"""Scores of generated tiles on a server that has no real one: the sites send sums, and the scores are exact."""

from collections.abc import Mapping
from dataclasses import dataclass
from logging import INFO
from typing import Any

import numpy as np
import torch
from flwr.app import Message, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedray.config import ExperimentConfig
from fedray.deployment.measures import CENTRE, IDENTITY, MEASURE, SUMS, WANTED
from fedray.evaluation import EvaluationError, Scores
from fedray.evaluation.extractors import Extractor
from fedray.evaluation.reference import DEFAULT_SAMPLES, shares
from fedray.evaluation.sums import FeatureSums, fid_of_sums, kid_of_sums, merged_sums
from fedray.federation import FederationError
from fedray.federation.failures import failure_lines
from fedray.federation.messages import CONFIG, experiment_record, from_record, to_record
from fedray.learning import Arrays
from fedray.randomness import torch_stream
from fedray.tasks import Sampler

EXTRACTOR = "efficientnet-lite0"
"""The features that are compared in: its weights are in a package, and the rest of it comes from sums."""


@dataclass(frozen=True, eq=False)
class SiteScores:
    """Scores tiles against the real ones of all sites.

    Attributes:
        extractor: The same at the server and every site, by the hash of its weights.
        real: Sums over the real tiles.
        cells: How many they are of each label and domain, int64 [label, domain].
    """

    extractor: Extractor
    real: FeatureSums
    cells: NDArray[np.int64]

    @classmethod
    def ask(cls, grid: Grid, config: ExperimentConfig) -> "SiteScores | None":
        """Ask the sites for what is compared with.

        Args:
            grid: Of the sites, which tells them how labels count.
            config: Of the experiment.

        Returns:
            What scores; None where the sites have fewer than two tiles of the split.

        Raises:
            EvaluationError: Other features are asked for, more tiles than there are, or the sites' weights are others.
            FederationError: A site failed or did not answer in time.
        """
        from fedray.evaluation.extractors.lite0 import centred_on  # here: torch-fidelity takes seconds

        check_extractor(config)
        said = _asked(grid, config, CENTRE, dict.fromkeys(sorted(grid.get_node_ids()), None))
        counts = np.stack([answer[SUMS]["counts"] for answer in said.values()]).astype(np.int64)
        num = _num_compared(config, int(counts.sum()))
        if num < 2:
            log(INFO, "no site has %s tiles: generated ones are not scored", config.evaluation.split)
            return None
        centre, scale = _centre_and_scale([answer[SUMS] for answer in said.values()])
        wanted = spread(counts, num)
        extractor = centred_on(centre, scale)
        asked: dict[int, Arrays | None] = {
            node: {"cells": cells, "centre": centre, "scale": scale}
            for node, cells in zip(said, wanted, strict=True)
            if cells.any()
        }
        measured = _asked(grid, config, MEASURE, asked)
        for node, answer in measured.items():
            theirs = answer[IDENTITY]["weights"]
            if theirs != extractor.identity:
                raise EvaluationError(
                    f"site at node {node} has other weights of {EXTRACTOR} ({theirs}) than this server "
                    f"({extractor.identity}): scores would mean nothing; install the same FedRay and packages at both"
                )
        real = merged_sums(FeatureSums.from_arrays(answer[SUMS]) for answer in measured.values())
        return cls(extractor, real, wanted.sum(0))

    def scores(self, sampler: Sampler, seed: int, round_index: int) -> Scores:
        """Score as many generated tiles of each label and domain as real ones were measured.

        Args:
            sampler: Makes them.
            seed: Of the experiment.
            round_index: Addresses the noise.
        """
        places = np.argwhere(self.cells > 0)
        labels, domains = (np.repeat(places[:, axis], self.cells[self.cells > 0]) for axis in (0, 1))
        tiles = sampler.sample(labels, torch_stream(seed, "evaluation", round_index), domains)
        fake = FeatureSums.of(self.extractor.features(tiles, torch.device("cpu")))
        name = f"{self.extractor.name}/{self.real.num}"
        return {f"fid/{name}": fid_of_sums(self.real, fake), f"kid/{name}": kid_of_sums(self.real, fake)}


def check_extractor(config: ExperimentConfig) -> None:
    """Refuse features that cannot be agreed upon without a tile.

    Raises:
        EvaluationError: They are others than :data:`EXTRACTOR`.
    """
    if config.evaluation.chosen_extractor != EXTRACTOR:
        raise EvaluationError(
            f"evaluation.extractor must be {EXTRACTOR!r} where every site has its own tiles, but got "
            f"{config.evaluation.chosen_extractor!r}: no other one can be agreed upon without a tile; leave it out"
        )


def spread(counts: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """Spread tiles over sites, labels and domains in proportion to how many there are.

    Args:
        counts: Of the tiles there are, [site, label, domain].
        num: To spread, at most their sum.

    Returns:
        int64 of the same shape, nowhere more than there are.
    """
    spread_over: NDArray[np.int64] = shares(counts.reshape(-1), num).reshape(counts.shape)
    return spread_over


def _num_compared(config: ExperimentConfig, there: int) -> int:
    wanted = config.evaluation.num_samples
    if wanted is not None and wanted > there:
        raise EvaluationError(
            f"evaluation.num_samples must be at most the number of {config.evaluation.split} tiles, {there} at all "
            f"sites together, but got {wanted}; leave it out to compare {min(there, DEFAULT_SAMPLES)} of them"
        )
    return min(there, DEFAULT_SAMPLES) if wanted is None else wanted


def _centre_and_scale(parts: list[Arrays]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Put together mean and variance over all sites' training tiles."""
    from fedray.evaluation.extractors.lite0 import centre_and_scale

    nums = np.array([float(part["num"]) for part in parts])
    means, squares = (np.stack([part[name] for part in parts]) for name in ("mean", "squares"))
    mean = nums @ means / nums.sum()
    variance = (squares.sum(0) + nums @ (means - mean) ** 2) / nums.sum()
    return centre_and_scale(torch.from_numpy(mean), torch.from_numpy(variance))


def _asked(
    grid: Grid, config: ExperimentConfig, question: str, wanted: Mapping[int, Arrays | None]
) -> dict[int, dict[str, Any]]:
    """Put a question to sites; all must answer. Returns the records of each answer, by node, in the order asked."""
    messages = []
    for node, arrays in wanted.items():
        content = RecordDict({CONFIG: experiment_record(config)})
        if arrays is not None:
            content[WANTED] = to_record(arrays)
        messages.append(Message(content, node, question))
    replies = list(grid.send_and_receive(messages, timeout=config.federation.round_timeout_s))
    good = {reply.metadata.src_node_id: reply.content for reply in replies if not reply.has_error()}
    if len(good) < len(messages):
        missing = f"{len(messages) - len(good)} of {len(messages)} sites did not measure their tiles:"
        raise FederationError("\n".join([missing, *failure_lines(messages, replies)]))
    return {
        node: {
            **{name: from_record(record) for name, record in good[node].array_records.items()},
            **{name: dict(record) for name, record in good[node].config_records.items()},
        }
        for node in wanted
    }
