"""One side's training steps and calls of the network, in this process: ``program.py SIDE SIZE STEPS RESULT``.

Both sides train on the same tiles by flow matching on straight paths, clip the gradient, take a step and move an
average. FedRay's is its local pass, with its own optimiser, batches and reports; the peer's is written plainly around
AdamW and diffusers' ``UNet2DModel``, whose channels are chosen so that it has as many parameters.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.memory import PrivateMemory
from fedray.config import FlowConfig
from fedray.data import LabelledTiles, TileShape
from fedray.tasks.flow import Flow, FlowOptimizer, local_pass

BATCH, CALLED, NUM_TILES = 32, 64, 512
Side = tuple[Callable[[int], None], Callable[[int], None], int]
"""What takes some training steps, what calls the network some times for 64 tiles, and its parameters."""


def main(side: str, size: str, steps: str, result: str) -> None:
    """Warm up, measure, and write seconds a step, seconds a call, peak memory of both and parameters."""
    torch.set_num_threads(1)
    with PrivateMemory() as memory:
        train, call, num_parameters = SIDES[side](TileShape(int(size), 3, 2))
        train(3)
        memory.take_peak_mb()
        started = time.process_time()
        train(int(steps))
        step_s, training_mb = (time.process_time() - started) / int(steps), memory.take_peak_mb()
        call(1)
        started = time.process_time()
        call(int(steps))
        call_s = (time.process_time() - started) / int(steps)
    measured = {"step_s": step_s, "call_s": call_s, "peak_mb": training_mb, "parameters": num_parameters}
    Path(result).write_text(json.dumps(measured))


def _tiles(shape: TileShape) -> LabelledTiles:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (NUM_TILES, shape.size, shape.size, 3), dtype=np.uint8)
    return LabelledTiles(pixels, np.arange(NUM_TILES) % shape.num_labels, np.zeros(NUM_TILES, np.int64))


def _fedray(shape: TileShape, **options: object) -> Side:
    config = FlowConfig.model_validate({"batch_size": BATCH, "sampler": "euler", **options})
    flow, tiles = Flow(config, shape, seed=0), _tiles(shape)
    optimizer = FlowOptimizer(flow)

    def train(steps: int) -> None:
        local_pass(flow, optimizer, tiles, num_steps=steps, steps_before=0, num_rounds=1, seed=0)

    def call(steps: int) -> None:
        flow.config = config.model_copy(update={"steps": steps})
        flow.sample(np.zeros(CALLED, np.int64), torch.Generator().manual_seed(0))

    return train, call, _count(flow.network)


def _diffusers(shape: TileShape, *, tuned: bool = False) -> Side:
    network, tiles = _matching(shape), _tiles(shape)
    layout = torch.channels_last if tuned else torch.contiguous_format
    network = network.to(memory_format=layout)
    average = [value.detach().clone() for value in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    pixels, labels = torch.from_numpy(tiles.tiles), torch.from_numpy(tiles.labels)

    def velocity(points: Tensor, times: Tensor, chosen: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
            told: Tensor = network(points.to(memory_format=layout), 1000 * times, chosen).sample
        return told.float()

    def train(steps: int) -> None:
        network.train()
        for _ in range(steps):
            chosen = torch.randint(NUM_TILES, (BATCH,))
            batch = pixels[chosen].permute(0, 3, 1, 2).float() / 127.5 - 1
            noise, times = torch.randn_like(batch), torch.randn(BATCH).sigmoid()
            points = torch.lerp(noise, batch, times.view(-1, 1, 1, 1))
            loss = functional.mse_loss(velocity(points, times, labels[chosen]), batch - noise)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for value, new in zip(average, network.parameters(), strict=True):
                    value.lerp_(new, 0.001)

    def call(steps: int) -> None:
        network.eval()
        points, labelled = torch.randn(CALLED, 3, shape.size, shape.size), torch.zeros(CALLED, dtype=torch.int64)
        with torch.inference_mode():
            for step in range(steps):
                points = points + velocity(points, torch.full((CALLED,), step / steps), labelled) / steps

    return train, call, _count(network)


def _matching(shape: TileShape) -> nn.Module:
    """Build the peer's network with the channels that come nearest to the parameters of FedRay's."""
    from diffusers import UNet2DModel  # of the peer's folder, which is on the path for its sides alone

    wanted = _count(Flow(FlowConfig(), shape, seed=0).network)
    levels = 1
    while shape.size / 2 ** (levels - 1) > 8:
        levels += 1

    def build(lowest: int) -> nn.Module:
        widths = (32, *[64] * (levels - 2), lowest)
        return UNet2DModel(
            sample_size=shape.size,
            in_channels=3,
            out_channels=3,
            block_out_channels=widths,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            norm_num_groups=8,
            num_class_embeds=shape.num_labels,
        )

    return min((build(lowest) for lowest in range(32, 257, 8)), key=lambda each: abs(_count(each) - wanted))


def _count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


SIDES: dict[str, Callable[[TileShape], Side]] = {
    "FedRay": _fedray,
    "FedRay, float32": lambda shape: _fedray(shape, precision="float32"),
    "diffusers": _diffusers,
    "diffusers, bfloat16 and channels_last": lambda shape: _diffusers(shape, tuned=True),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
