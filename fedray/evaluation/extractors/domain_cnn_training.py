"""'domain-cnn': learned once from a store's real training tiles, on the CPU, and kept under the store's fingerprint.

It learns two things: to tell the labels apart, and to tell a real tile from a degraded one. The second is there because
the first alone gives features that do not see blur: labels of stained tissue hang on colour, and tiles blurred with
sigma 2 then score no worse than sharp ones. All arithmetic is float64, so that every machine of a cluster, with any
number of threads, trains the same extractor to float32 rounding.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.cache import Stored, cache_path, load_or_build
from fedray.evaluation.extractors.base import BATCH_SIZE, Extractor, ExtractorQuality, hash_weights, progress
from fedray.evaluation.extractors.domain_cnn import NAME, NUM_DEGRADATIONS, RECIPE, WIDTH, DomainCnn, fresh_network
from fedray.randomness import derive_seed, stream

NUM_STEPS = 150
TILES_PER_STEP = 48
LEARNING_RATE = 5e-3
"""Peak of Adam's one-cycle schedule."""
DEGRADED_PER_KIND = TILES_PER_STEP // 8
"""Tiles of a batch that go through each degradation; with four kinds, half of the batch stays as it is."""
MAX_MEASURED = 2048
"""Tiles, at the most, on which feature scale and balanced accuracy are measured."""

SEED = 0
"""The extractor belongs to the store, not to an experiment: its seed is fixed."""


def load_domain_cnn(store: TileStore, config: EvaluationConfig) -> Extractor:
    """Load the store's extractor; the first call for a store trains it, on the CPU, and caches it.

    The training tiles must carry two labels at least (:func:`fedray.evaluation.extractors.check_extractor`).
    """
    stored = load_or_build(cache_path(store.fingerprint, f"{NAME}-recipe{RECIPE}"), lambda: train(store))
    network = fresh_network(store.channels, len(store.label_names))
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in stored.arrays.items()})
    network.eval().requires_grad_(False)
    quality = ExtractorQuality(
        balanced_accuracy=float(stored.metadata["balanced_accuracy"]),
        trivial_balanced_accuracy=float(stored.metadata["trivial_balanced_accuracy"]),
        num_test=int(stored.metadata["num_test"]),
    )
    return Extractor(NAME, network, WIDTH, hash_weights(network), quality)


def train(store: TileStore) -> Stored:
    """Train the extractor of a store: fixed seed, fixed number of steps, whatever the store's size.

    Returns:
        The weights, float32, and its quality on the test tiles as metadata.
    """
    network = fresh_network(store.channels, len(store.label_names), derive_seed(SEED, "domain-cnn", "init")).double()
    rng = stream(SEED, "domain-cnn", "training")
    by_label = _indices_by_label(store, "train")
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=NUM_STEPS)
    network.train()
    with torch.enable_grad(), _one_thread():
        for _ in progress(range(NUM_STEPS), "domain-cnn: training the extractor of this store, once"):
            loss = _loss(network, store, by_label, rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()
    _set_scale(network, store)
    quality = measure_quality(network, store)
    metadata = {
        "recipe": str(RECIPE),
        "fingerprint": store.fingerprint,
        "balanced_accuracy": repr(quality.balanced_accuracy),
        "trivial_balanced_accuracy": repr(quality.trivial_balanced_accuracy),
        "num_test": str(quality.num_test),
    }
    return Stored({name: value.numpy() for name, value in network.float().state_dict().items()}, metadata)


def measure_quality(network: DomainCnn, store: TileStore) -> ExtractorQuality:
    """Balanced accuracy of the label head on test tiles, at most ``MAX_MEASURED``, beside the trivial one."""
    indices = _some(store, "test")
    if len(indices) == 0:
        return ExtractorQuality(float("nan"), float("nan"), 0)
    truth = store.labels[indices]
    with torch.inference_mode():
        answers = network.label_head(_pooled(network, store, indices)).argmax(1).numpy()
    labels = np.unique(truth)
    from sklearn.metrics import recall_score  # here: workers score generators without ever training

    balanced = recall_score(truth, answers, labels=labels, average="macro", zero_division=0.0)
    return ExtractorQuality(float(balanced), 1.0 / len(labels), len(indices))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # Steps this small gain nothing from a second thread, and lose tenfold where other processes hold its core.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loss(
    network: DomainCnn, store: TileStore, by_label: list[NDArray[np.int64]], rng: np.random.Generator
) -> torch.Tensor:
    groups = rng.integers(0, len(by_label), TILES_PER_STEP)  # each label as often as the other, however rare
    indices = np.array([rng.choice(by_label[group]) for group in groups])
    labels = torch.from_numpy(store.labels[indices].astype(np.int64))
    tiles = network.normalise(torch.tensor(store.tiles(indices)).permute(0, 3, 1, 2))
    tiles, degradations = _degrade_half(_turn(tiles, rng), rng)
    pooled = network.pooled(tiles)
    label_loss = F.cross_entropy(network.label_head(pooled), labels)
    return label_loss + F.cross_entropy(network.degradation_head(pooled), degradations)


def _turn(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    turned = torch.rot90(tiles, int(rng.integers(4)), (2, 3))
    return turned.flip(3) if rng.integers(2) else turned


def _degrade_half(tiles: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Degrade half of a batch; returns all tiles and what was done to each: 0 nothing, 1.. the degradation."""
    tiles = tiles.clone()
    kinds = torch.zeros(len(tiles), dtype=torch.int64)
    stop = len(tiles)
    for kind, degrade in enumerate(DEGRADATIONS, start=1):
        rows = slice(stop - DEGRADED_PER_KIND, stop)
        tiles[rows] = degrade(tiles[rows], rng).clamp(-1.0, 1.0)
        kinds[rows] = kind
        stop -= DEGRADED_PER_KIND
    return tiles, kinds


def _blur(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    for _ in range(int(rng.integers(1, 5))):
        tiles = F.avg_pool2d(F.pad(tiles, (1, 1, 1, 1), mode="replicate"), kernel_size=3, stride=1)
    return tiles


def _noise(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    return tiles + torch.from_numpy(rng.normal(0.0, rng.uniform(0.05, 0.4), tuple(tiles.shape)))


def _mosaic(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Cut each tile into 4 x 4 patches and put them together in another order: right texture, wrong structure."""
    edge = tiles.shape[-1] // 4
    mixed = tiles.clone()
    for target, source in enumerate(rng.permutation(16)):
        (row, column), (from_row, from_column) = divmod(target, 4), divmod(int(source), 4)
        mixed[..., row * edge : (row + 1) * edge, column * edge : (column + 1) * edge] = tiles[
            ..., from_row * edge : (from_row + 1) * edge, from_column * edge : (from_column + 1) * edge
        ]
    return mixed


def _tint(tiles: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    shape = (1, tiles.shape[1], 1, 1)
    return tiles * torch.from_numpy(rng.uniform(0.6, 1.4, shape)) + torch.from_numpy(rng.uniform(-0.3, 0.3, shape))


DEGRADATIONS: list[Callable[[torch.Tensor, np.random.Generator], torch.Tensor]] = [_blur, _noise, _mosaic, _tint]
assert len(DEGRADATIONS) == NUM_DEGRADATIONS


def _set_scale(network: DomainCnn, store: TileStore) -> None:
    with torch.no_grad():
        variance = _pooled(network, store, _some(store, "train")).var(0).sum()
        network.scale.fill_(float(WIDTH / variance.clamp_min(1e-12)) ** 0.5)


def _pooled(network: DomainCnn, store: TileStore, indices: NDArray[np.int64]) -> torch.Tensor:
    batches = [indices[start : start + BATCH_SIZE] for start in range(0, len(indices), BATCH_SIZE)]
    with torch.no_grad():
        tiles = (torch.tensor(store.tiles(batch)).permute(0, 3, 1, 2) for batch in batches)
        return torch.cat([network.pooled(network.normalise(batch)) for batch in tiles])


def _some(store: TileStore, split: str) -> NDArray[np.int64]:
    indices = store.indices(split)
    if len(indices) <= MAX_MEASURED:
        return indices
    return np.sort(stream(SEED, "domain-cnn", "measured", split).choice(indices, MAX_MEASURED, replace=False))


def _indices_by_label(store: TileStore, split: str) -> list[NDArray[np.int64]]:
    indices = store.indices(split)
    labels = store.labels[indices]
    return [indices[labels == label] for label in np.unique(labels)]
