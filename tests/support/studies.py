"""A study that takes seconds: two classifiers and a generator on the small store, two seeds."""

from typing import Any

from fedray.config import validate
from fedray.studies import Study

SMALL: dict[str, Any] = {
    "name": "small",
    "about": "Does it work?",
    "seeds": [0, 1],
    "common": {
        "federation": {"mode": "centralised", "num_rounds": 1, "local_steps": 2},
        "resources": {"device": "cpu"},
        "evaluation": {"every": 100},
    },
    "experiments": {
        "maker": {
            "set": {
                "gan": {
                    "latent_dim": 8,
                    "generator_channels": 8,
                    "discriminator_channels": 8,
                    "batch_size": 8,
                    "n_critic": 2,
                },
                "evaluation.num_samples": 16,
            }
        },
        "real": {"set": {"task": "classification", "classification": {"channels": 8, "batch_size": 8, "lr": 1e-2}}},
        "both": {
            "like": "real",
            "synthetic": "made",
            "set": {"federation": {"mode": "fedssg", "num_clients": 2}},
        },
    },
    "stores": {"made": {"made_by": "maker", "per_label": 6}},
    "tables": [
        {
            "name": "classifiers",
            "scores": ["balanced-accuracy", "auroc"],
            "baseline": "real",
            "rows": [
                {"name": "trivial", "trivial": "real"},
                {"name": "real", "experiment": "real", "published": {"auroc": 0.9}},
                {"name": "real + made", "experiment": "both", "synthetic": True},
            ],
        }
    ],
}


def small_study(store, **changes: Any) -> Study:
    """The study on a store: ``small_study(store, seeds=[3])``."""
    common = {**SMALL["common"], "data.store": str(store.path)}
    return validate(Study, {**SMALL, "common": common, **changes}, "test")
