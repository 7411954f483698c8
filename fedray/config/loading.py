"""Configs from YAML and from overrides, and back; every problem of an input is reported at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fedray.config.paths import config_paths, flatten, nearest_name, nest, sections
from fedray.config.schema import ExperimentConfig
from fedray.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(UserError, ValueError):
    """Invalid configuration. The message lists every problem: path, rule, value and the nearest valid name."""


def load_config(path: str | Path) -> ExperimentConfig:
    """Read an experiment's configuration from YAML.

    Raises:
        ConfigError: The file is missing, is no YAML mapping, or breaks a rule of the schema.
    """
    return validate(ExperimentConfig, read_yaml(path), source=str(path))


def save_config(config: BaseModel, path: str | Path) -> None:
    """Write a config as YAML that :func:`load_config` reads back to an equal one: a file of the user's.

    Jobs write theirs whole, by :func:`fedray.storage.write_whole`.
    """
    Path(path).write_text(to_yaml(config), encoding="utf-8")


def find_yaml(name: Path, folder: Path, option: str) -> Path:
    """Return a YAML file that an option names by its path, or by its name in a folder, with ``_`` or ``-`` alike.

    Raises:
        ConfigError: There is none of that name.
    """
    if name.suffix or name.parent != Path():
        return name
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    stem = name.name.replace("-", "_")
    if stem not in known:
        raise ConfigError(
            f"{option} must be a file or one of {', '.join(known)}, but got {str(name)!r}{nearest_name(stem, known)}"
        )
    return folder / f"{stem}.yaml"


def to_yaml(config: BaseModel) -> str:
    """Render a config as YAML with all fields, in declaration order."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def override(config: ExperimentConfig, values: Mapping[str, Any], source: str) -> ExperimentConfig:
    """Return a config with some fields replaced.

    Args:
        config: The base.
        values: New values by dotted path (``{"gan.n_critic": 2}``).
        source: Where the values come from, for the error message.

    Raises:
        ConfigError: A path is no config path, or a value breaks a rule.
    """
    merged = flatten(config.model_dump(mode="json")) | dict(values)
    try:
        return validate(ExperimentConfig, nest(merged), source)
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"{error} ({source})") from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigError: The file is missing, unreadable, not YAML, or not a mapping.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        where = "" if Path(path).is_absolute() else f" (looked for from {Path.cwd()})"
        raise ConfigError(f"cannot read the configuration file {path}{where}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping of names to values, but holds a {type(content).__name__}")
    return content


def validate(model: type[Model], values: Mapping[str, Any], source: str) -> Model:
    """Build a config model, turning pydantic's errors into one message that lists them all.

    Raises:
        ConfigError: With one line a problem, each naming path, rule and value, and ``source``.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(describe(error, model, source)) from None


def describe(error: ValidationError, model: type[BaseModel], source: str) -> str:
    """Say each problem of a validation error in one line: path, rule, value, nearest valid name."""
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            hint = nearest_name(path, [*(paths := config_paths(model)), *sections(paths)])
            lines.append(f"{path}: there is no such key{hint}")
        elif problem["type"] == "value_error":
            lines.append(f"{path + ': ' if path else ''}{problem['ctx']['error']}")
        elif problem["type"] == "missing":
            lines.append(f"{path}: must be given")
        else:
            rule = problem["msg"][0].lower() + problem["msg"][1:]
            lines.append(f"{path}: {rule}, but got {problem['input']!r}")
    count = f"{len(lines)} problems" if len(lines) > 1 else "1 problem"
    return f"{count} in {source}:\n" + "\n".join(f"  - {line}" for line in lines)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but with 1e-4 a number (PyYAML wants 1.0e-4) and a repeated key an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {str(key) for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {sorted(repeated)[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)
