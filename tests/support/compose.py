"""Reads mlflow/compose.yaml as Docker Compose does, and says what must not be in it."""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from compose_spec import PyCompose

from tests.support.servers import MLFLOW

_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
_SECRET = re.compile(r"PASSWORD|SECRET|_KEY|TOKEN")
_PINNED = re.compile(r".+:v?\d+(\.\d+)+[\w.-]*@sha256:[0-9a-f]{64}|fedray-mlflow:\d+(\.\d+)+")


def load_compose() -> dict[str, Any]:
    return yaml.safe_load((MLFLOW / "compose.yaml").read_text())


def variables(text: str) -> dict[str, tuple[str, str]]:
    """Return the variables of a text with their operator (``:-`` for a default, ``:?`` if they must be set)."""
    return {name: (operator, word) for name, operator, word in _VARIABLE.findall(text)}


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Fill in variables; one that must be set and is not raises KeyError."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        return values.get(name) or (word if operator == ":-" else values[name])

    return _VARIABLE.sub(value, text)


def problems(compose: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a compose file: against the Compose Specification, and against our own rules."""
    found = []
    # Docker takes a tag with a digest; the reader of the specification, one of the two.
    text = re.sub(r"@sha256:[0-9a-f]{64}", "", yaml.safe_dump(dict(compose)))
    given = {name: "given" for name, (operator, _) in variables(text).items() if operator != ":-"}
    try:
        PyCompose.from_yaml(interpolated(text, given))
    except ValueError as error:
        found.append(str(error))
    services = compose.get("services", {})
    awaited = {
        name
        for service in services.values()
        for name, wait in service.get("depends_on", {}).items()
        if wait["condition"] == "service_completed_successfully"
    }
    for name, service in services.items():
        found += [f"{name}: {problem}" for problem in _service_problems(service, runs_once=name in awaited)]
    return found


def _service_problems(service: Mapping[str, Any], runs_once: bool) -> list[str]:
    found = []
    if not _PINNED.fullmatch(service.get("image", "")):
        found.append(f"image {service.get('image')} is not pinned to a version and a digest")
    if not service.get("healthcheck", {}).get("test") and not (runs_once and service.get("restart") == "no"):
        found.append("no healthcheck")
    for port in service.get("ports", []):
        if not interpolated(str(port), {}).startswith("127.0.0.1:"):
            found.append(f"port {port} is published beyond 127.0.0.1 by default")
    for name, value in service.get("environment", {}).items():
        if _SECRET.search(name) and not re.fullmatch(r"\$\{\w+:\?[^}]+\}", str(value)):
            found.append(f"{name} has a value that does not have to be set")
    return found
