"""Measures one GAN step against plain PyTorch, and what each option gains: ``python -m benchmarks.gans.step``.

Both sides run in one process, in turns of a few steps, in alternating order: a shared machine's speed changes.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from benchmarks.gans.plain import plain_step
from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY
from benchmarks.tables import markdown_table, replace_section
from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Condition
from fedray.tasks.gan import Gan, GanSteps, Optimizers

_README = REPOSITORY / "benchmarks" / "README.md"
_CASES: tuple[tuple[str, str, int], ...] = (
    ("wgan-gp", "cnn", 32),
    ("acgan-ns", "cnn", 32),
    ("cgan-hinge", "cnn", 32),
    ("acgan-ns", "resnet18", 32),
    ("acgan-ns", "cnn", 64),
)
_PLAIN = {"channels_last": False, "fused_optimizer": False}
_OPTIONS: dict[str, dict[str, Any]] = {
    "FedRay": {},
    "no option at all": _PLAIN,
    "only fused_optimizer": _PLAIN | {"fused_optimizer": True},
    "only channels_last": _PLAIN | {"channels_last": True},
    "precision bfloat16": {"precision": "bfloat16"},
    "precision bfloat16, compile": {"precision": "bfloat16", "compile": True},
}


def main() -> None:
    """Measure all cases, and write the table and all rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gans.step", description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each side (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=None, help="default: 32 on a CPU, 256 on a GPU")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "gan-step")
    parser.add_argument("--readme", action="store_true", help="also put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch_size = arguments.batch_size or (256 if device == "cuda" else 32)
    warning = busy_warning()
    torch.set_num_threads(1)
    rows = [row for case in _CASES for row in _measure(*case, device, batch_size, arguments.turns)]
    frame = pd.DataFrame(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(arguments.out / "turns.parquet")
    machine = describe_machine(("torch", "timm"))
    if device == "cuda":
        machine |= {"GPU": torch.cuda.get_device_name()}
    text = "\n".join([_table(frame), "", machine_sentence(machine), *([f"\n{warning}"] if warning else [])])
    (arguments.out / "table.md").write_text(text)
    print(text)
    if arguments.readme:
        replace_section(_README, f"gan-step-{device}", text)


def _measure(
    objective: str, backbone: str, size: int, device: str, batch_size: int, turns: int
) -> Iterator[dict[str, object]]:
    """Yield the seconds of each turn of each side."""
    sides: dict[str, Callable[[], None]] = {"plain PyTorch": _plain_side(objective, backbone, size, device, batch_size)}
    for name, options in _OPTIONS.items():
        # A gradient's gradient cannot be compiled; on a CPU compilation needs a C++ compiler.
        if not (options.get("compile") and (objective == "wgan-gp" or device == "cpu")):
            sides[name] = _fedray_side(objective, backbone, size, device, batch_size, options)
    for side in sides.values():  # warm up: allocators, kernels, compilation
        for _ in range(3):
            side()
    for turn in range(turns):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        for name in order:
            seconds = _time(sides[name], device)
            case = f"{objective}, {backbone}, {size} px"
            print(f"{case:32} {name:60} turn {turn + 1}: {batch_size / seconds:8.1f} tiles a second", flush=True)
            yield {"case": case, "side": name, "turn": turn, "seconds": seconds, "batch_size": batch_size}


def _time(side: Callable[[], None], device: str, steps: int = 5) -> float:
    _wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        side()
    _wait(device)
    return (time.perf_counter() - started) / steps


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _gan(objective: str, backbone: str, size: int, device: str, options: dict[str, Any]) -> Gan:
    config = GanConfig.model_validate({"objective": objective, "discriminator": backbone, "n_critic": 1, **options})
    gan = Gan(config, TileShape(size, 3, 2), seed=0, device=device)
    gan.generator.train()
    gan.discriminator.train()
    return gan


def _batch(size: int, device: str, batch_size: int, options: dict[str, Any]) -> tuple[torch.Tensor, Condition]:
    random = torch.Generator().manual_seed(0)
    tiles = (torch.rand(batch_size, 3, size, size, generator=random) * 2 - 1).to(device)
    layout = torch.channels_last if options.get("channels_last", True) else torch.preserve_format
    labels = torch.arange(batch_size, device=device) % 2
    return tiles.to(memory_format=layout), Condition(labels, torch.zeros_like(labels))


def _plain_side(objective: str, backbone: str, size: int, device: str, batch_size: int) -> Callable[[], None]:
    gan = _gan(objective, backbone, size, device, _PLAIN)
    step, batch = plain_step(gan), _batch(size, device, batch_size, _PLAIN)
    return lambda: step(*batch)


def _fedray_side(
    objective: str, backbone: str, size: int, device: str, batch_size: int, options: dict[str, Any]
) -> Callable[[], None]:
    gan = _gan(objective, backbone, size, device, options)
    steps = GanSteps(gan, Optimizers(gan), torch.Generator(device).manual_seed(0))
    real, condition = _batch(size, device, batch_size, options)

    def step() -> None:
        steps.discriminator(real, condition)
        steps.generator(condition)
        gan.update_ema(1000)

    return step


def _table(frame: pd.DataFrame) -> str:
    rows = []
    for case, of_case in frame.groupby("case", sort=False):
        turns = of_case.pivot(index="turn", columns="side", values="seconds")
        batch_size = int(of_case["batch_size"].iloc[0])
        for side in of_case["side"].unique():
            ratio = median(turns["plain PyTorch"] / turns[side])
            speed = f"{batch_size / turns[side].median():,.0f}"
            rows.append([str(case), str(side), speed, "" if side == "plain PyTorch" else f"{ratio:.2f}x as fast"])
    return markdown_table(("case", "side", "tiles a second", "against plain PyTorch"), rows)


if __name__ == "__main__":
    main()
