"""Why a comparison lacks a score that somebody asks for: how many tiles it would need, and how many there are."""

import numpy as np

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.extractors import extractor_name
from fedray.evaluation.metrics import Metric, metrics_of, whole_of
from fedray.evaluation.reference import compared_indices


def why_no_score(name: str, config: EvaluationConfig, store: TileStore, seed: int = 0) -> str:
    """Say which number of tiles a score lacks, and what to do; empty if it is there, or no such number is the reason.

    Args:
        name: Of the score, in these features, of as many tiles as are compared.
        config: Which real tiles are compared.
        store: The tiles.
        seed: Of the draw of real tiles.
    """
    indices = compared_indices(store, config, seed)
    kind, _, protocol = whole_of(name).partition("/")
    for metric in metrics_of(extractor_name(config), store.label_names, store.domain_names):
        if kind in metric.kinds and protocol == f"{metric.features}/{len(indices)}":
            what, _, named = name.removeprefix(whole_of(name)).removeprefix("/").partition("/")
            if not what:
                return _too_few(kind, len(indices), metric.min_tiles, "tiles")
            names, codes = {"label": (store.label_names, store.labels), "domain": (store.domain_names, store.domains)}[
                what
            ]
            if named in names:
                num = int(np.sum(codes[indices] == names.index(named)))
                return _of_part(kind, metric, f"tiles of {what} {named!r}", num, len(np.unique(codes[indices])), what)
    return ""


def _of_part(kind: str, metric: Metric, tiles: str, num: int, num_parts: int, what: str) -> str:
    if metric.min_label_tiles is None:
        return f"{kind} is of all tiles alone, as a label or a domain has too few for it; take kid"
    if what == "domain" and num_parts < 2:
        return "all tiles compared are of one domain; take the score of all"
    return _too_few(kind, num, metric.min_label_tiles, tiles)


def _too_few(kind: str, num: int, needed: int, tiles: str) -> str:
    if num >= needed:
        return ""
    return (
        f"{kind} needs {needed} {tiles}, but {num} are compared; raise evaluation.num_samples if the split has more, "
        "or take another score"
    )
