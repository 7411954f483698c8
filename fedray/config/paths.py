"""Config paths: the dotted names of fields (``gan.n_critic``), used by search spaces, run configs and errors."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from fedray.config.schema import ExperimentConfig


def config_paths(model: type[BaseModel] = ExperimentConfig, prefix: str = "") -> list[str]:
    """List the dotted path of every leaf field of a config model, in declaration order."""
    paths: list[str] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            paths += config_paths(annotation, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def sections(paths: Iterable[str]) -> list[str]:
    """List the sections above some dotted paths: ``fixed`` and ``fixed.gan`` above ``fixed.gan.n_critic``."""
    above = [path.split(".")[:-1] for path in paths]
    return sorted({".".join(names[: depth + 1]) for names in above for depth in range(len(names))})


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean 'gan.n_critic'?``, or nothing where no valid name is near."""
    by_tail = {path.rsplit(".", 1)[-1]: path for path in valid}
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    if not found:
        found = [by_tail[tail] for tail in difflib.get_close_matches(name.rsplit(".", 1)[-1], list(by_tail), n=1)]
    return f"; did you mean {found[0]!r}?" if found else ""


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one mapping of dotted paths."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a mapping of dotted paths into nested mappings; the inverse of :func:`flatten`.

    Raises:
        ValueError: One path is the beginning of another (``gan`` beside ``gan.n_critic``).
    """
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *sections, leaf = path.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ValueError(f"config path {path!r} goes through {section!r}, which already has a value")
        node[leaf] = value
    return nested
