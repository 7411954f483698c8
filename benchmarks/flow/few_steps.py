"""How scores fall with the steps of a sampler, of one trained network; and one noise on its way to a tile."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.flow.sheet import save_sheet
from benchmarks.flow.trained import JUDGES, Asked, about, made, solved, trained_flow
from benchmarks.tables import markdown_table
from fedray.config import DataConfig, EvaluationConfig, FlowConfig
from fedray.data import TileStore, open_store
from fedray.evaluation import Evaluator, is_of_all_tiles
from fedray.learning import Condition, to_uint8
from fedray.randomness import torch_stream
from fedray.tasks.flow import SAMPLERS, Flow

STEPS = (2, 4, 8, 16, 32)
_SHOWN = ("c2st/texture", "kid/", "coverage/")
_REAL = "real training tiles"
_SHOWN_TIMES = 11


def run_few_steps(asked: Asked) -> str:
    """Score all samplers with all numbers of steps. Returns the table, in Markdown."""
    store = open_store(DataConfig.model_validate(asked.data))
    trained = trained_flow(store, asked)
    judges = [Evaluator.prepare(store, EvaluationConfig.model_validate({"extractor": name})) for name in JUDGES]
    rows: list[dict[str, Any]] = [{"sampler": _REAL, **{k: v for judge in judges for k, v in judge.floor.items()}}]
    for sampler, steps in product(SAMPLERS, STEPS):
        rows.append(_scored(solved(trained.learner, sampler, steps), judges))
        print(f"{sampler}, {steps} steps: {rows[-1]['CPU seconds']:.0f} s", flush=True)
    frame = pd.DataFrame(rows)
    frame.to_parquet(asked.out / "few-steps.parquet")
    _draw(frame).savefig(asked.out / "flow-few-steps.png", dpi=110)
    _draw_way(trained.learner, store, asked.out / "flow-noise-to-tile.png")
    return f"One network, {about(trained)}.\n\n{_table(frame)}"


@contextmanager
def counted_calls(network: nn.Module) -> Iterator[list[int]]:
    """Collect the number of tiles of every call of a network."""
    calls: list[int] = []
    hook = network.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    try:
        yield calls
    finally:
        hook.remove()


def _scored(flow: Flow, judges: Sequence[Evaluator]) -> dict[str, Any]:
    options, labels, started = flow.config, judges[0].labels, time.process_time()
    with counted_calls(flow.network_ema) as calls:
        tiles = made(flow, labels, ("few steps",))
    seconds, expected = time.process_time() - started, SAMPLERS[options.sampler].calls(options.steps)
    assert sum(calls) == expected * len(labels), f"{calls} for {options.steps} steps of {options.sampler}"
    scores = {name: value for judge in judges for name, value in judge.scores(tiles, labels).items()}
    setting = {"sampler": options.sampler, "steps": options.steps, "calls": expected}
    return {**setting, "CPU seconds": seconds, **scores}


def _shown(frame: pd.DataFrame) -> list[str]:
    overall = [name for name in map(str, frame) if is_of_all_tiles(name)]
    return [name for kind in _SHOWN for name in overall if name.startswith(kind)]


def _table(frame: pd.DataFrame) -> str:
    names = _shown(frame)
    rows = []
    for row in frame.to_dict("records"):
        setting = [f"{row[name]:g}".replace("nan", "") for name in ("steps", "calls")]
        rows.append([str(row["sampler"]), *setting, *(f"{row[name]:.3g}" for name in names)])
    return markdown_table(("sampler", "steps", "calls", *(f"`{name}`" for name in names)), rows)


def _draw(frame: pd.DataFrame) -> Figure:
    """Draw each score over calls of the network, a line a sampler, a grey line for real tiles."""
    names, default = _shown(frame), FlowConfig()
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    *panels, legend = figure.subplots(2, len(names) // 2 + 1).flat
    for axes, name in zip(panels, names, strict=True):
        for sampler, of_sampler in frame.dropna(subset="calls").groupby("sampler", sort=False):
            axes.plot(of_sampler["calls"], of_sampler[name], "o-", label=str(sampler), markersize=4)
        axes.axhline(float(frame.loc[frame["sampler"] == _REAL, name].iloc[0]), color="grey", ls="--", label=_REAL)
        calls = SAMPLERS[default.sampler].calls(default.steps)
        axes.axvline(calls, color="grey", lw=0.6, label=f"{default.steps} steps of {default.sampler}: the default")
        axes.set_xscale("log", base=2)
        axes.set_xticks([2, 4, 8, 16, 32, 64], ["2", "4", "8", "16", "32", "64"])
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("calls of the network", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    legend.axis("off")
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    return figure


def _draw_way(flow: Flow, store: TileStore, path: Path) -> None:
    """Draw one noise on its way to a tile of each label, at times evenly apart, and below where it seemed to lead."""
    random = torch_stream(0, "looks", "way")
    noise = torch.randn(1, store.channels, store.tile_size, store.tile_size, generator=random)
    rows = []
    for label, name in enumerate(store.label_names):
        points, guesses = way(flow, noise, label)
        rows += [(name, to_uint8(points)), ("leads to", to_uint8(guesses))]
    times = [f"{time:.1f}" for time in np.linspace(0, 1, _SHOWN_TIMES)]
    save_sheet(path, rows, "One noise on its way to a tile of each label, by time", times)


def way(flow: Flow, noise: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Follow one noise [1, C, H, W] to a tile of a label.

    Returns:
        The points at times 0, 0.1 ... 1, [11, C, H, W], and where the velocity there leads on a straight line.
    """
    points: dict[int, Tensor] = {}
    guesses: dict[int, Tensor] = {}
    condition = Condition(torch.tensor([label]), torch.tensor([0]))
    tenths = _SHOWN_TIMES - 1

    def velocity(here: Tensor, times: Tensor) -> Tensor:
        told: Tensor = flow.network_ema(here, times, condition)
        at = float(times[0])
        if abs(at * tenths - round(at * tenths)) < 1e-4:
            points[round(at * tenths)], guesses[round(at * tenths)] = here, here + (1 - at) * told
        return told

    with torch.inference_mode(), flow.autocast():
        end = SAMPLERS["euler"](velocity, noise, 4 * tenths)
    points[tenths], guesses[tenths] = end, end
    return torch.cat(list(points.values())), torch.cat(list(guesses.values()))
