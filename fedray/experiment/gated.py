"""The gate as jobs and studies use it: real tiles of a store in, verdicts on the cells of any sampler out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fedray.config import DataConfig, EvaluationConfig, GateConfig
from fedray.data import TileStore, client_partition, local_store
from fedray.evaluation.destruction import DESTRUCTIONS
from fedray.evaluation.extractors import Extractor, load_extractor
from fedray.evaluation.gate import CellVerdict, Check, Gate, GateError, copies_check, gate_table
from fedray.evaluation.memorisation import nearer_test
from fedray.evaluation.metrics import Sample
from fedray.randomness import stream
from fedray.reports.base import RealTiles
from fedray.reports.memorisation import FEWEST, LEVEL, NEIGHBOURS, held_out_nearness, neighbours_in, spaces
from fedray.results.finished import Finished
from fedray.results.generating import Cell, Images, batch, batches
from fedray.storage import parquet_bytes, write_whole
from fedray.tasks import Sampler

MOST_REAL = 256
"""Real tiles of a cell that are looked at, at the most."""
KEPT_BYTES = 2**28
"""Of tiles that were judged and will be handed out; beyond, they are made once more."""

OnJudged = Callable[[CellVerdict], None]
"""Told of every cell."""


@dataclass(frozen=True, eq=False)
class StoreGate:
    """A gate on the features of a store's tiles.

    Attributes:
        limits: What passes.
        extractor: Of the features.
        real: The store's tiles: which ones may have been copied, and which were held out.
        gate: What was measured of the training tiles.
        device: Where features are computed.
    """

    limits: GateConfig
    extractor: Extractor
    real: RealTiles
    gate: Gate
    device: torch.device

    @classmethod
    def prepare(
        cls,
        store: TileStore,
        training: NDArray[np.int64],
        evaluation: EvaluationConfig,
        limits: GateConfig,
        device: str = "cpu",
    ) -> Self:
        """Measure real tiles.

        Args:
            store: Has them.
            training: Store indices of those that the generator learned from, int64 [n], n >= 1.
            evaluation: Names the extractor.
            limits: What passes.
            device: Where features are computed.

        Raises:
            EvaluationError: The extractor cannot work on this store, or lacks its weights.
        """
        extractor, on = load_extractor(store, evaluation), torch.device(device)
        extractor.network.to(on)
        chosen = _some_of_each_cell(store, training)
        tiles, labels, domains = store.tiles(chosen), store.labels[chosen], store.domains[chosen]
        blurred = DESTRUCTIONS["blur 2 px"].apply(tiles, labels, stream(0, "gate", "blurred"))
        sample = Sample(extractor.features(tiles, on), labels, domains)
        groups, num_domains = store.groups[chosen], len(store.domain_names)
        gate = Gate(sample, extractor.features(blurred, on), groups, num_domains, limits)
        real = RealTiles(store, extractor.name, lambda shown: extractor.features(shown, on))
        return cls(limits, extractor, real, gate, on)

    @classmethod
    def of_run(
        cls, finished: Finished, limits: GateConfig, device: str = "cpu", data: DataConfig | None = None
    ) -> Self:
        """Measure the real tiles that a run learned from.

        Args:
            finished: The run.
            limits: What passes.
            device: Where features are computed.
            data: Where these tiles are; unset: where the run found them.

        Raises:
            GateError: There are other tiles.
            StoreError: There are none, or every site has its own. Others as of :meth:`prepare`.
        """
        config = finished.config.model_copy(update={"data": data or finished.config.data})
        store = local_store(config.data)
        if store.fingerprint != finished.tiles.fingerprint:
            raise GateError(
                f"the gate holds tiles against those that they were learned from, but {store.path} has others than "
                f"{finished.place} (fingerprint {store.fingerprint}, not {finished.tiles.fingerprint}); name the store "
                "of the run (--data STORE)"
            )
        return cls.prepare(store, np.concatenate(client_partition(config).clients), config.evaluation, limits, device)

    def judge(self, label: int, domain: int, tiles: Images) -> CellVerdict:
        """Judge the generated tiles of a cell, uint8 [m, H, W, C], m >= 1."""
        return self.gate.judge(label, domain, self.extractor.features(tiles, self.device), self._copies(label, tiles))

    def _copies(self, label: int, tiles: Images) -> Check:
        real = self.real
        if len(real.held_out) < FEWEST or len(real.training) < NEIGHBOURS:
            needed = f"{FEWEST} held-out and {NEIGHBOURS} training tiles needed"
            return copies_check({}, len(tiles), f"{needed}, {len(real.held_out)} and {len(real.training)} are there")
        # Tiles of one label may all be nearer than those of another are; of a rare label all must do.
        alike = real.store.labels[real.held_out] == label
        held_out = alike if alike.sum() >= FEWEST else np.ones_like(alike)
        asked = spaces(real)
        tests = {
            space: nearer_test(
                neighbours_in(tiles, real, space).nearness,
                held_out_nearness(real, space)[held_out],
                LEVEL / len(asked),
            )
            for space in asked
        }
        return copies_check(tests, len(tiles))


class Gated(NamedTuple):
    """What came of cells at the gate."""

    verdicts: list[CellVerdict]
    """In the order of the cells that were wanted."""
    passed: list[Cell]
    """Those whose tiles may be handed out, in the same order."""
    table: pd.DataFrame
    """All answers, a row a cell and question (:func:`fedray.evaluation.gate.gate_table`)."""
    begun: dict[Cell, Images]
    """First batches of those that passed, as far as memory goes."""


def through_gate(
    gate: StoreGate, sampler: Sampler, cells: Sequence[Cell], seed: int, on_judged: OnJudged = lambda verdict: None
) -> Gated:
    """Judge the tiles that a sampler will make of each cell, the first of them.

    Args:
        gate: Judges.
        sampler: Makes them.
        cells: Which, and how many.
        seed: Of the noise.
        on_judged: Told of every cell.
    """
    verdicts, passed, begun = [], [], dict[Cell, Images]()
    for cell in cells:
        _, first = next(batches(sampler, cell, seed))
        verdicts.append(gate.judge(cell.label, cell.domain, _judged(sampler, cell, seed, first, gate.limits.tiles)))
        on_judged(verdicts[-1])
        if verdicts[-1].passed:
            passed.append(cell)
            if sum(kept.nbytes for kept in begun.values()) + first.nbytes <= KEPT_BYTES:
                begun[cell] = first
    store = gate.real.store
    table = gate_table(verdicts, store.label_names, store.domain_names)
    wanted = {(store.label_names[cell.label], store.domain_names[cell.domain]): cell.num for cell in cells}
    table.insert(2, "wanted tiles", [wanted[pair] for pair in zip(table["label"], table["domain"], strict=True)])
    return Gated(verdicts, passed, table, begun)


def keep_table(table: pd.DataFrame, store: Path) -> Path:
    """Write the table beside the folder of tiles, whatever came of them. Returns its file."""
    path = store.with_name(f"{store.name}.gate.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, parquet_bytes(table))
    return path


def refusals(gate: StoreGate, gated: Gated) -> list[str]:
    """Say of each cell that did not pass why, a line each."""
    store = gate.real.store
    return [
        f"{store.label_names[verdict.label]}/{store.domain_names[verdict.domain]}: {verdict.why_not()}"
        for verdict in gated.verdicts
        if not verdict.passed
    ]


def check_passed(gate: StoreGate, gated: Gated) -> None:
    """Refuse to go on without a tile.

    Raises:
        GateError: No cell passed; the message says of each why.
    """
    if not gated.passed:
        raise GateError(
            f"no cell passed the gate, so no tile is handed out: {'; '.join(refusals(gate, gated))}. Train the "
            "generator longer, or raise the gate's limits knowingly"
        )


def origin_of_gate(gate: StoreGate, gated: Gated) -> Mapping[str, Any]:
    """Say what was asked and answered, as plain values for a store's origin."""
    cells = json.loads(gated.table.to_json(orient="records"))  # NaN becomes null there
    limits = gate.limits.model_dump(mode="json")
    return {
        "gate": {"limits": limits, "features": gate.extractor.name, "weights": gate.extractor.identity, "cells": cells}
    }


def gate_line(origin: Mapping[str, Any]) -> str:
    """Say in one line what the gate made of a store: how many cells it has tiles of, and why not of others.

    Args:
        origin: Of the store, as :func:`origin_of_gate` has left it.

    Returns:
        The line; empty where the store went through no gate.
    """
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in origin.get("gate", {}).get("cells", ()):
        cells.setdefault((row["label"], row["domain"]), []).append(row)
    if not cells:
        return ""
    refused = {cell: rows for cell, rows in cells.items() if not rows[0]["handed out"]}
    told = f"{len(cells) - len(refused)} of {len(cells)} cells passed the gate"
    whys = [f"{'/'.join(cell)} ({_why(rows)})" for cell, rows in refused.items()]
    return told + (f"; not handed out: {', '.join(whys)}" if whys else "")


def _why(rows: Sequence[Mapping[str, Any]]) -> str:
    failed = [f"{row['check']} {row['value']:.3g}, limit {row['limit']:.3g}" for row in rows if row["says"] == "failed"]
    return "; ".join(failed) or "neither distance nor label can be asked"


def _judged(sampler: Sampler, cell: Cell, seed: int, first: Images, num: int) -> Images:
    """Return so many tiles: the first that the cell will have, and where it will have fewer, further ones."""
    tiles, missing = [first[:num]], num - len(first)
    for start, more in batches(sampler, cell, seed, first):
        if missing <= 0:
            break
        if start > 0:
            tiles.append(more[:missing])
            missing -= len(more)
    if missing > 0:
        tiles.append(batch(sampler, cell, cell.num, missing, seed))
    return np.concatenate(tiles)


def _some_of_each_cell(store: TileStore, training: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw at most :data:`MOST_REAL` tiles of each cell; sorted store indices."""
    cells = store.labels[training] * len(store.domain_names) + store.domains[training]
    drawn = []
    for cell in np.unique(cells):
        own = training[cells == cell]
        drawn.append(stream(0, "gate", int(cell)).choice(own, min(len(own), MOST_REAL), replace=False))
    chosen: NDArray[np.int64] = np.sort(np.concatenate(drawn))
    return chosen
