"""Arrays that have an entry for every label, or for every domain, and how these are put in another order."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from fedray.config import ExperimentConfig
from fedray.data import TileShape
from fedray.learning import Arrays, Learner
from fedray.tasks.base import Task

Kind = Literal["num_labels", "num_domains"]
"""What codes count: a field of :class:`fedray.data.TileShape`."""


def axes_of(task: Task, config: ExperimentConfig, shape: TileShape, kind: Kind) -> dict[str, int]:
    """Find the arrays that have an entry for every code, and the axis of these entries.

    No family lists them: they are those that grow when there is one code more. The codes' entries are the last of their
    axis, in their order; what stands before them is of none (a label that is withheld). The suite of tasks holds it.

    Args:
        task: Of the experiment.
        config: Of the networks, which are built twice for it.
        shape: Of the tiles.
        kind: Labels or domains.

    Returns:
        Axes by the names of arrays that travel; none where the networks do not know the codes.
    """
    more = shape._replace(**{kind: getattr(shape, kind) + 1})
    own, grown = (_shapes(task, config, each) for each in (shape, more))
    return {
        name: next(axis for axis, length in enumerate(lengths) if length != grown[name][axis])
        for name, lengths in own.items()
        if lengths != grown[name]
    }


def reordered(arrays: Arrays, axes: Mapping[str, int], order: Sequence[int]) -> Arrays:
    """Put the entries of codes in another order.

    Args:
        arrays: By name.
        axes: Of those that have such entries (:func:`axes_of`).
        order: For every new code the old one.

    Returns:
        All arrays; those without entries are the same objects.
    """
    moved = dict(arrays)
    for name, axis in axes.items():
        num_before = arrays[name].shape[axis] - len(order)
        entries = [*range(num_before), *(num_before + code for code in order)]
        moved[name] = np.take(arrays[name], entries, axis)
    return moved


def _shapes(task: Task, config: ExperimentConfig, shape: TileShape) -> dict[str, tuple[int, ...]]:
    learner: Learner = task.make(config, shape, "cpu", load_weights=False)
    shared = set(task.shared(config))
    return {
        f"{part}.{name}": tuple(value.shape)
        for part, network in learner.parts().items()
        if part in shared
        for name, value in network.state_dict().items()
    }
