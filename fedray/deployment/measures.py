"""What a site says of its real tiles, so that generated ones are scored where none is: counts, and sums of features."""

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedray.config import SITES, DataConfig
from fedray.data import site_store
from fedray.data.sources import codes_of
from fedray.data.tiles import TileShape, count_cells
from fedray.evaluation import EvaluationError
from fedray.evaluation.sums import FeatureSums
from fedray.federation.messages import experiment_of, from_record, to_record
from fedray.federation.sites import AGREED, STORE, names_in
from fedray.federation.traffic import Part
from fedray.learning import Arrays
from fedray.randomness import stream

CENTRE, MEASURE = f"{MessageType.QUERY}.centre", f"{MessageType.QUERY}.measure"
"""Questions: how many tiles there are to compare with, and where their features lie; and sums over so many of them."""
WANTED, SUMS, IDENTITY = "wanted", "sums", "identity"
"""Records: what is asked for, what is answered, and the hash of the extractor's weights that it was answered with."""

LEAST = 16
"""Tiles, at least, of which a site says sums: of fewer they would say much of each."""

MESSAGES = (
    Part(
        "site", CENTRE, SUMS, "counts|num|mean|squares",
        "how many test tiles of each label and domain it has; number, mean and variance of training tiles' features",
        "server", "once, before the first evaluation", "4 kB",
    ),
    Part(
        "server", MEASURE, WANTED, "cells|centre|scale",
        "how many test tiles of each label and domain to measure; mean and scale of the features over all sites",
        "each site", "the same", "2 kB",
    ),
    Part(
        "site", MEASURE, SUMS, "num|mean|scatter|first|second|third|same",
        "sums of its measured tiles' features, and of their products by twos and threes", "server", "the same",
        "21 MB",
    ),
    Part(
        "site", MEASURE, IDENTITY, "weights", "hash of the extractor's weights", "server", "the same", "64 letters",
    ),
)  # fmt: skip
"""What is sent beside an experiment's messages where generated tiles are scored."""


def located(message: Message, context: Context) -> Message:
    """Count the tiles to compare with, and say where the training tiles' features lie."""
    from fedray.evaluation.extractors.lite0 import Lite0, measured_features  # here: torch-fidelity takes seconds

    config, tiles = experiment_of(message), _Tiles(message, context)
    features = measured_features(Lite0(), tiles.store)
    mean = features.mean(0)
    said: Arrays = {
        "counts": tiles.counts(config.evaluation.split),
        "num": np.array(float(len(features))),
        "mean": mean.numpy(),
        "squares": (features - mean).square().sum(0).numpy(),
    }
    return Message(RecordDict({SUMS: to_record(said)}), reply_to=message)


def measured(message: Message, context: Context) -> Message:
    """Sum over the features of as many tiles of each label and domain as are asked for, always the same ones."""
    from fedray.evaluation.extractors.lite0 import centred_on

    config, tiles = experiment_of(message), _Tiles(message, context)
    wanted = from_record(message.content.array_records[WANTED])
    if (num := int(wanted["cells"].sum())) < LEAST:
        raise EvaluationError(
            f"this site says sums of at least {LEAST} tiles, but was asked for those of {num}: they would say much of "
            "each; raise evaluation.num_samples"
        )
    extractor = centred_on(wanted["centre"], wanted["scale"])
    chosen = tiles.drawn(config.evaluation.split, wanted["cells"].astype(np.int64))
    features = extractor.features(tiles.store.tiles(chosen), torch.device("cpu"))
    content: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
        SUMS: to_record(FeatureSums.of(features).arrays()),
        IDENTITY: ConfigRecord({"weights": extractor.identity}),
    }
    return Message(RecordDict(content), reply_to=message)


class _Tiles:
    """A site's store, with labels and domains as the experiment counts them."""

    def __init__(self, message: Message, context: Context) -> None:
        self.store = site_store(str(context.node_config[STORE]), DataConfig(store=SITES))
        agreed = message.content.config_records[AGREED]
        self._names = names_in(agreed, "labels"), names_in(agreed, "domains")
        store, (labels, domains) = self.store, self._names
        self._labels = codes_of(store, "label", store.label_names, labels)[store.labels]
        self._domains = codes_of(store, "domain", store.domain_names, domains)[store.domains]

    def counts(self, split: str) -> NDArray[np.int64]:
        """Count the tiles of a split, [label, domain]."""
        indices = self.store.indices(split)
        indices = indices if len(indices) >= LEAST else indices[:0]  # none that may be asked for
        labels, domains = self._names
        shape = TileShape(self.store.tile_size, self.store.channels, len(labels), len(domains))
        return count_cells(shape, self._labels[indices], self._domains[indices])

    def drawn(self, split: str, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw so many tiles of each label and domain, [label, domain]; the same ones in every run."""
        indices, chosen = self.store.indices(split), []
        for label, domain in np.argwhere(cells > 0).tolist():
            there = indices[(self._labels[indices] == label) & (self._domains[indices] == domain)]
            # By name: a code is another one where the sites are others.
            random = stream(0, "evaluation", "site", split, self._names[0][label], self._names[1][domain])
            chosen.append(random.choice(there, cells[label, domain], replace=False))
        return np.sort(np.concatenate(chosen))
