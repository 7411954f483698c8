"""FedSSG in one study (arXiv 2604.26324): a generator, its gate, tiles handed out, and a classifier beside its peer.

The clients that lack tiles train the generator themselves, on the same partition; what passes the gate is a store that
the server alone has, and the classifier in federation.mode 'fedssg' is held against the same one without it.
"""

from collections.abc import Sequence
from typing import Any

from fedray.config import TASKS, ConfigError, ExperimentConfig, GateConfig, flatten, validate
from fedray.studies.definition import OWN_PATHS, Study, Value

_SHARED = ("data", "partition")
"""Sections in which the generator's experiment is the classifier's: the same clients with the same tiles."""
_SCORES = ("balanced-accuracy", "macro-f1", "worst-cell-recall*", "balanced-accuracy/external*",
           "balanced-accuracy/domain/*", "recall/label/*")  # fmt: skip
_HANDED_OUT = ("synthetic_per_real", "allocation", "refresh_every", "count_noise", "count_clip")
"""Fields of the classifier that say what is handed out."""


def fedssg_study(
    classifier: ExperimentConfig,
    maker: ExperimentConfig,
    *,
    per_label: int,
    gate: GateConfig | None,
    seeds: Sequence[int],
) -> Study:
    """Write the study of one FedSSG run.

    Args:
        classifier: Of task 'classification' and federation.mode 'fedssg'; its ``classification.tiles`` and
            ``classification.synthetic`` are filled in.
        maker: Trains what makes the tiles. Data, partition and number of clients are the classifier's.
        per_label: Synthetic tiles of each label, >= 1.
        gate: Limits of the gate; None: none is asked.
        seeds: Of the cells, different numbers >= 0.

    Raises:
        ConfigError: One of them cannot have this part.
    """
    if classifier.federation.mode != "fedssg":
        raise ConfigError(
            f"federation.mode must be 'fedssg', but got {classifier.federation.mode!r}; leave it out, or train without "
            "synthetic tiles by jobs/train_classifier.py"
        )
    if classifier.federation.local_steps is None:
        raise ConfigError(
            "federation.local_steps must be set, but got none: a client that was handed tiles would take more steps "
            "than one that was not, and the two classifiers could not be compared"
        )
    if maker.task == "classification":
        made = ", ".join(repr(name) for name in TASKS if name != "classification")
        raise ConfigError(f"what makes the tiles must have the task {made}, but has 'classification'")
    own = _values(classifier)
    plain = {path: value for path, value in own.items() if path not in _paths("classification", _HANDED_OUT)}
    plain |= {"federation.mode": "federated", "classification.tiles": "real"}
    handed = {path: value for path, value in own.items() if path in _paths("classification", _HANDED_OUT)}
    handed |= {"federation.mode": "fedssg", "classification.tiles": "both"}
    shared = {path: value for path, value in own.items() if path.partition(".")[0] in _SHARED}
    shared["federation.num_clients"] = classifier.federation.num_clients
    theirs = {path: value for path, value in _values(maker).items() if path.partition(".")[0] not in _SHARED}
    content: dict[str, Any] = {
        "name": "fedssg",
        "about": "FedSSG (arXiv 2604.26324): a classifier that was handed synthetic tiles, and the same without them.",
        "seeds": list(seeds),
        "experiments": {
            "maker": {"set": theirs | shared},
            "plain": {"set": plain},
            "handed": {"like": "plain", "synthetic": "tiles", "set": handed},
        },
        "stores": {"tiles": {"made_by": "maker", "per_label": per_label, "gate": gate and gate.model_dump()}},
        "tables": [_classifiers(), _maker()],
    }
    return validate(Study, content, "the command line")


def _classifiers() -> dict[str, Any]:
    return {
        "name": "Classifiers",
        "about": "Tested on real tiles that nobody has trained on.",
        "scores": list(_SCORES),
        "baseline": "real tiles alone",
        "rows": [
            {"name": "always the majority label", "trivial": "plain"},
            {"name": "real tiles alone", "experiment": "plain"},
            {"name": "+ synthetic tiles", "experiment": "handed", "synthetic": True},
        ],
    }


def _maker() -> dict[str, Any]:
    return {
        "name": "Synthetic tiles",
        "about": "What the generated tiles are like, beside what other real tiles score in their place.",
        "scores": ["kid", "coverage", "c2st/texture*"],
        "rows": [{"name": "real tiles", "trivial": "maker"}, {"name": "generated", "experiment": "maker"}],
    }


def _values(config: ExperimentConfig) -> dict[str, Value]:
    """Return what a configuration has beside defaults, by config path, but for what a study fills in itself."""
    values = flatten(config.model_dump(mode="json", exclude_defaults=True, exclude=set(TASKS.keys() - {config.task})))
    values["task"] = config.task
    return {path: value for path, value in values.items() if path not in (*OWN_PATHS, "classification.tiles")}


def _paths(section: str, fields: Sequence[str]) -> list[str]:
    return [f"{section}.{name}" for name in fields]
