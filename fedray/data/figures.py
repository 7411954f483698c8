"""The picture of a partition: how many tiles of each label, of each domain, and of each pair, every client has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedray.data.partitions import Partition
from fedray.data.store import TileStore

if TYPE_CHECKING:  # imported where it draws: every worker imports this package, and matplotlib costs it half a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 200
"""Clients drawn as bars of their own; more are drawn as one outline per label, which stays fast and legible."""

MAX_NAMES = 30
"""Clients whose names stand under their bars; more are numbered."""

MAX_NUMBERS = 300
"""Cells of clients whose counts are written into them; more are coloured only."""


def draw_partition(store: TileStore, partition: Partition) -> "Figure":
    """Draw tiles per client, stacked by label.

    Where the store has several domains, a second panel stacks by domain, and where it has several labels too, a third
    shows the cells, the pairs of a label and a domain: white where a client has no tile of one.

    The figure belongs to no window and no pyplot state: save it with ``figure.savefig(path)``.
    """
    from matplotlib.figure import Figure

    panels = [("label", partition.counts(store.labels, len(store.label_names)), store.label_names)]
    if len(store.domain_names) > 1:
        panels.append(("domain", partition.counts(store.domains, len(store.domain_names)), store.domain_names))
    num_clients = len(partition.clients)
    width = min(14.0, max(6.0, 3.5 + 0.3 * num_clients))
    heights = [2.6] * len(panels)
    if with_cells := len(panels) > 1 and len(store.label_names) > 1:
        heights.append(min(12.0, 0.8 + 0.22 * len(store.label_names) * len(store.domain_names)))
    figure = Figure(figsize=(width, 0.6 + sum(heights)), layout="constrained")
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, (title, counts, names) in zip(rows[:, 0], panels, strict=False):
        _draw_stack(axes, counts, names, title)
    if with_cells:
        _draw_cells(rows[-1, 0], store, partition)
    rows[-1, 0].set_xlabel("client")
    if 0 < len(partition.names) <= MAX_NAMES:
        rows[-1, 0].set_xticks(range(num_clients), partition.names, rotation=45, ha="right", parse_math=False)
    unused = f", {partition.unused:,} unused" if partition.unused else ""
    figure.suptitle(f"{store.name}: {num_clients:,} clients, {partition.scheme}{unused}", fontsize=11, parse_math=False)
    return figure


def _draw_stack(axes: "Axes", counts: NDArray[np.int64], names: Sequence[str], title: str) -> None:
    """Stack counts, int64 [num_clients, num_names], client by client."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    num_clients = len(counts)
    colors = colormaps["tab10" if len(names) <= 10 else "tab20"].resampled(max(10, len(names)))
    base = np.zeros(num_clients, dtype=np.int64)
    for code, name in enumerate(names):
        top, shown = base + counts[:, code], _as_text(name)
        if num_clients <= MAX_BARS:
            axes.bar(np.arange(num_clients), counts[:, code], 0.8, bottom=base, color=colors(code), label=shown)
        else:
            edges = np.arange(num_clients + 1) - 0.5
            axes.stairs(top, edges, baseline=base, fill=True, color=colors(code), label=shown)
        base = top
    axes.set_xlim(-0.6, num_clients - 0.4)
    axes.set_ylabel("tiles")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_cells(axes: "Axes", store: TileStore, partition: Partition) -> None:
    """Draw the tiles of each client, label and domain as a field of a map, on a logarithmic scale."""
    from matplotlib.colors import LogNorm

    num_labels, num_domains = len(store.label_names), len(store.domain_names)
    counts = partition.counts(store.labels * num_domains + store.domains, num_labels * num_domains).T
    most = max(int(counts.max()), 2)
    edge = counts.shape[1] - 0.5
    axes.imshow(
        np.ma.masked_equal(counts, 0),
        cmap="YlGnBu",
        norm=LogNorm(0.5, most),
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, edge, counts.shape[0] - 0.5, -0.5),
    )
    axes.set_yticks(
        range(len(counts)),
        [f"{label}, {domain}" for label in store.label_names for domain in store.domain_names],
        fontsize=7,
        parse_math=False,
    )
    for boundary in range(num_domains, len(counts), num_domains):
        axes.axhline(boundary - 0.5, color="grey", linewidth=0.6)
    if counts.size <= MAX_NUMBERS:
        for (cell, client), count in np.ndenumerate(counts):
            color = "white" if count > most**0.6 else "black"
            axes.text(client, cell, f"{count:,}", ha="center", va="center", fontsize=6, color=color)


def _as_text(name: str) -> str:
    """Return a name as a legend shows it: one that begins with an underscore would be left out."""
    return f" {name}" if name.startswith("_") else name
