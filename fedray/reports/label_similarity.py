"""Do its tiles show the label that they were asked for? A classifier of real tiles says so, and a map shows it."""

from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedray.evaluation.classification import Told, classification_scores
from fedray.randomness import stream
from fedray.reports.base import Features, Figure, Finding, Judged, Labels, Report, percent
from fedray.reports.charts import draw_map

FEWEST = 8
"""Training tiles of a label that the classifier learns from."""
LEARNABLE = 0.05
"""Balanced accuracy above guessing that real held-out tiles have at least, by its interval; else nothing is learned."""
MAPPED = 400
"""Tiles of either kind on the map at the most."""
_PERPLEXITY = 30.0
_ALL = "all (balanced accuracy)"


class LabelSimilarity(Report):
    """A linear classifier of the extractor's features, trained on real training tiles, is asked about generated ones.

    Balanced accuracy on generated tiles stands beside that on held-out real ones. Where its interval lies below the
    middle between guessing and real tiles, the labels are not those asked for. The map is t-SNE (van der Maaten and
    Hinton 2008) of the same features, held-out and generated tiles together.
    """

    title: ClassVar[str] = "Label similarity"
    question: ClassVar[str] = "Do its tiles show the label that they were asked for?"

    def make(self, judged: Judged) -> Finding:
        """See :class:`fedray.reports.Report`."""
        taught, figures = taught_labels(judged), _map(judged)
        if len(taught) < 2:
            table = pd.DataFrame([{"labels that can be told apart": len(taught), "needed": 2}])
            verdict = (
                f"Whether tiles show their labels cannot be said: that needs two labels with {FEWEST} training tiles, "
                "a held-out one and a generated one."
            )
            return Finding(verdict, None, {"labels": table}, figures)
        table = label_table(judged, taught)
        verdict, alarm = judge_labels(table, len(taught))
        return Finding(verdict, alarm, {"labels": table}, figures)


def taught_labels(judged: Judged) -> list[int]:
    """Labels that are learned, and asked of both kinds of tiles."""
    real = judged.real
    labels, num = real.store.labels, len(real.store.label_names)
    training, held_out, made = (
        np.bincount(each, minlength=num) for each in (labels[real.some_training], labels[real.held_out], judged.labels)
    )
    found: list[int] = np.flatnonzero((training >= FEWEST) & (held_out > 0) & (made > 0)).tolist()
    return found


def _told(judged: Judged, taught: list[int]) -> tuple[Told, Told]:
    """What a classifier of these labels, as places in their list, says of held-out and of generated tiles."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    store, real = judged.real.store, judged.real
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    training, labels = _of_labels(real.features_of(real.some_training), store.labels[real.some_training], taught)
    classifier.fit(training, labels)
    held_out = _of_labels(real.features_of(real.held_out), store.labels[real.held_out], taught)
    made = _of_labels(judged.features, judged.labels, taught)
    told = [Told(labels, classifier.predict_proba(features)) for features, labels in (held_out, made)]
    return told[0], told[1]


def _of_labels(features: Features, labels: Labels, taught: list[int]) -> tuple[Features, Labels]:
    chosen = np.isin(labels, taught)
    return features[chosen], np.searchsorted(taught, labels[chosen])


def label_table(judged: Judged, taught: list[int]) -> pd.DataFrame:
    """Ask a classifier of real training tiles about held-out and generated ones.

    Args:
        judged: The tiles.
        taught: Labels that it learns, of :func:`taught_labels`; two at least.

    Returns:
        A row of all labels (balanced accuracy), and one a label (recall): the tiles, the share that is recognised, and
        the ends of its interval, held-out and generated.
    """
    names = [judged.real.store.label_names[label] for label in taught]
    real, made = _told(judged, taught)
    columns = {"held-out": (real, "test"), "generated": (made, "generated")}
    rows: list[dict[str, object]] = [{"label": name} for name in (_ALL, *names)]
    for words, (told, split) in columns.items():
        scores = classification_scores(told, names, split)
        tail = f"{split}/{len(told.labels)}"
        for row, name in zip(rows, (None, *names), strict=True):
            kind, rest = ("balanced-accuracy", tail) if name is None else ("recall", f"{tail}/label/{name}")
            row |= {f"{words} tiles": _count(told, names, name), words: scores[f"{kind}/{rest}"]}
            row |= {f"{words}, {end}": scores[f"{kind}-{end}/{rest}"] for end in ("low", "high")}
    return pd.DataFrame(rows)


def _count(told: Told, names: list[str], name: str | None) -> int:
    return len(told.labels) if name is None else int(np.sum(told.labels == names.index(name)))


def judge_labels(table: pd.DataFrame, num_labels: int) -> tuple[str, bool | None]:
    """Say in a sentence what a table of so many labels says, and whether it is an alarm."""
    row, guessing = table.iloc[0], 1 / num_labels
    beside = f"{percent(row['held-out'])} of held-out real ones (guessing: {percent(guessing)})"
    if row["held-out, low"] < guessing + LEARNABLE:
        return f"Whether tiles show their labels cannot be said: a classifier knows no more than {beside}.", None
    told = f"the label asked for is recognised in {percent(row['generated'])} of the generated tiles and in {beside}"
    if row["generated, high"] < (guessing + row["held-out"]) / 2:
        return f"Labels are lost: {told}.", True
    return f"Tiles show their labels: {told}.", False


def _map(judged: Judged) -> tuple[Figure, ...]:
    """Draw both kinds of tiles where t-SNE puts them."""
    from sklearn.manifold import TSNE

    real, rng = judged.real, stream(judged.seed, "reports", "map")
    held_out, made = _some(len(real.held_out), rng), _some(len(judged.tiles), rng)
    features = np.concatenate([real.features_of(real.held_out)[held_out], judged.features[made]])
    if len(features) < 3 or not (features.std(0) > 0).any():  # nothing to spread out
        return ()
    labels = np.concatenate([real.store.labels[real.held_out][held_out], judged.labels[made]])
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=judged.seed).fit_transform(features)
    is_made = np.arange(len(features)) >= len(held_out)
    return (Figure(
        "label-map",
        draw_map(points, labels, is_made, real.store.label_names),
        f"Held-out real tiles on the left and generated ones on the right, on one map: t-SNE of the features of "
        f"{real.extractor}, perplexity {perplexity:.3g}. Tiles that are alike lie together; how far groups lie from "
        "each other, and how large they are, means nothing.",
        "Map of held-out real and of generated tiles, coloured by label",
        real_tiles=False,
    ),)  # fmt: skip


def _some(num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.choice(num, min(num, MAPPED), replace=False))
