"""Seconds and memory of features, in this process: ``python speed_program.py SIDE RESULT.json NUM SIZE THREADS``.

SIDE is ``fedray``, or which network torch-fidelity runs: ``plain`` is timm's as it is published, ``registered`` is
FedRay's own module. All three have the same weights and the same features.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_fidelity import register_feature_extractor
from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

from fedray.evaluation.extractors.base import Extractor, hash_weights
from fedray.evaluation.extractors.lite0 import LARGEST, NAME, SMALLEST, WIDTH, Lite0
from fedray.evaluation.extractors.one_layer import OneLayer
from fedray.pretrained import frozen_lite0

PLAIN = "efficientnet-lite0-plain"
_WARM_UP = 256


class PlainLite0(OneLayer):
    """The same features from timm's own model, as somebody would write it who registers it with torch-fidelity."""

    WIDTH = WIDTH

    def __init__(self, name: str, features_list: list[str], **_: object) -> None:
        """Build it with its ImageNet weights."""
        super().__init__(name, features_list)
        self.network = frozen_lite0()

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor]:
        """Features, float32 [N, 248], of tiles, uint8 [N, 3, H, W]."""
        edge, pixels = min(max(tiles.shape[-1], SMALLEST), LARGEST), tiles.float()
        if tiles.shape[-1] != edge:
            pixels = F.interpolate(pixels, size=(edge, edge), mode="bilinear", antialias=True)
        network: Any = self.network
        stages = network.forward_intermediates(  # stages 2 and 5, before each stride
            pixels / 127.5 - 1, indices=[1, 3], intermediates_only=True, stop_early=True
        )
        shallow, middle = (maps.flatten(2) for maps in stages)
        parts = (shallow.std(2, correction=0), middle.mean(2), middle.std(2, correction=0))
        return (F.normalize(torch.cat(parts, 1)) * WIDTH**0.5,)


class Tiles(torch.utils.data.Dataset[torch.Tensor]):
    """Tiles as torch-fidelity wants them."""

    def __init__(self, tiles: np.ndarray) -> None:
        """Take tiles, uint8 [n, H, W, C]."""
        self.tiles = torch.from_numpy(tiles).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        """Count them."""
        return len(self.tiles)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return one, uint8 [C, H, W]."""
        return self.tiles[index]


def main() -> None:
    """Measure, and write a JSON object: seconds, CPU seconds, MB above what the process had, and a check sum."""
    side, result, num, size, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    torch.set_num_threads(threads)
    register_feature_extractor(PLAIN, PlainLite0)
    tiles = np.random.default_rng(0).integers(0, 256, (num, size, size, 3), dtype=np.uint8)
    features = _fedray() if side == "fedray" else _torch_fidelity(PLAIN if side == "plain" else NAME)
    features(tiles[:_WARM_UP])
    before_mb, cpu, started = _peak_mb(), time.process_time(), time.perf_counter()
    found = features(tiles)
    measured = {"seconds": time.perf_counter() - started, "CPU seconds": time.process_time() - cpu}
    told = {**measured, "MB": _peak_mb() - before_mb, "sum": float(np.abs(found).sum(dtype=np.float64))}
    with open(result, "w") as file:
        json.dump(told, file)


def _fedray() -> Callable[[np.ndarray], np.ndarray]:
    network = Lite0()
    extractor = Extractor(NAME, network, WIDTH, hash_weights(network))
    return lambda tiles: extractor.features(tiles, torch.device("cpu"))


def _torch_fidelity(name: str) -> Callable[[np.ndarray], np.ndarray]:
    network = create_feature_extractor(name, [str(WIDTH)], cuda=False, verbose=False)

    def features(tiles: np.ndarray) -> np.ndarray:
        found = extract_featuresdict_from_input_id(
            1, network, input1=Tiles(tiles), cuda=False, verbose=False, cache=False
        )
        return found[str(WIDTH)].numpy()

    return features


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
