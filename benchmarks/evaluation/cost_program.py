"""CPU seconds of an evaluation's parts, in this process: ``python cost_program.py RESULT.json [--round]``.

It runs in FedRay of today and of commit a57ff4c alike, whichever comes first on PYTHONPATH, and imports nothing else.
"""

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from fedray.config import ExperimentConfig
from fedray.data import TileStore, open_store, partition_store
from fedray.evaluation import cached_evaluator
from fedray.federation.client import client_steps
from fedray.randomness import torch_stream

try:
    from fedray.data import LabelledTiles, TileShape
    from fedray.experiment.judging.samples import evaluate as evaluate_generator
    from fedray.experiment.judging.samples import wanted as wanted_tiles
    from fedray.tasks.gan import Gan, Optimizers, local_pass
except ImportError:  # a57ff4c
    from fedray.experiment.evaluate import (  # type: ignore
        evaluate_generator,
        wanted_tiles,
    )
    from fedray.models import (  # type: ignore
        Gan,
        LabelledTiles,
        Optimizers,
        TileShape,
        local_pass,
    )

_REPEATS = 5


def main() -> None:
    """Measure, and write a JSON object of seconds by part."""
    torch.set_num_threads(1)
    config = ExperimentConfig().resolved()
    store = open_store(config.data)
    cached_evaluator(store, config.evaluation, "cpu")
    gan = _gan(config, store)
    arrays, before_mb = gan.arrays(), _peak_mb()
    found = {"whole": _seconds(lambda: evaluate_generator(config, 1, arrays))}
    found["peak MB"] = _peak_mb() - before_mb
    found |= {part: _seconds(call) for part, call in _parts(config, store).items()}
    if "--round" in sys.argv:
        found["round"] = _round_seconds(config, store)
    with open(sys.argv[1], "w") as file:
        json.dump(found, file)


def _parts(config: ExperimentConfig, store: TileStore) -> dict[str, Callable[[], object]]:
    evaluator, gan = cached_evaluator(store, config.evaluation, "cpu"), _gan(config, store)
    labels, domains = wanted_tiles(config)
    tiles = gan.sample(labels, torch_stream(0, "cost"), domains)
    parts: dict[str, Callable[[], object]] = {
        "generating": lambda: gan.sample(labels, torch_stream(0, "cost"), domains),
        "features": lambda: evaluator.extractor.features(tiles, evaluator.device),
    }
    try:
        from fedray.evaluation import metrics
        from fedray.evaluation.metrics import c2st, distances, manifold, transport
        from fedray.evaluation.samples import sample_of
        from fedray.evaluation.texture import texture
    except ImportError:  # a57ff4c: distances alone, and no room for metrics
        return parts
    generated = sample_of(tiles, labels, evaluator.extractor, evaluator.device)
    parts["texture"] = lambda: texture(tiles)
    for part, kinds in {
        "distances": (distances.Fid, distances.Kid),
        "coverage, recall, precision, density": (manifold.FidelityAndDiversity,),
        "sliced distance, and that of texture": (transport.Sliced, transport.StatisticsDistance),
        "c2st": (c2st.C2st,),
    }.items():
        chosen = [metric for metric in metrics.metrics_of(evaluator.extractor.name, store.label_names)
                  if isinstance(metric, kinds)]  # fmt: skip
        parts[part] = lambda chosen=chosen: [  # type: ignore[misc]
            metric.values(
                evaluator.reference.samples[metric.features],
                metrics.Sample(generated[metric.features].features, labels),  # a new one, as in every round
            )
            for metric in chosen
        ]
    return parts


def _gan(config: ExperimentConfig, store: TileStore) -> Gan:
    shape = TileShape(store.tile_size, store.channels, len(store.label_names), len(store.domain_names))
    return Gan(config.gan, shape, config.seed, load_weights=False)


def _round_seconds(config: ExperimentConfig, store: TileStore) -> float:
    """All clients of a round train, one after another."""
    partition = partition_store(store, config.partition, config.num_clients, config.seed)
    clients = [
        LabelledTiles(store.tiles(indices), store.labels[indices], store.domains[indices])
        for indices in partition.clients
    ]
    gan = _gan(config, store)
    optimizers, rounds = Optimizers(gan), itertools.count()

    def train() -> None:
        done = next(rounds)  # the generator has a step after some of the discriminator's, not in every round
        for tiles in clients:
            steps = client_steps(config, tiles)
            local_pass(gan, optimizers, tiles, num_steps=steps, steps_before=done * steps, seed=done)

    return _seconds(train, repeats=1)  # it takes long enough


def _seconds(call: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Median CPU seconds of a call, after one that imports and fills caches."""
    call()
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return median(spent)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
