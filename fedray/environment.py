"""Settings that libraries read from the environment as they are imported, made before any of them is.

``fedray/__init__.py`` makes them. The commands of others (``flwr``, ``ray``, ``mlflow``) start without us: for them
``make env`` writes the same into ``.venv/bin/activate``.
"""

import os
import shlex
from collections.abc import Mapping

SILENT: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a head node posts what it runs on, every hour
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",  # off, a head of `ray start` still posts once that it is off
    "FLWR_TELEMETRY_ENABLED": "0",  # Flower's commands, apps and servers post events
    "FLWR_DISABLE_UPDATE_CHECK": "1",  # `flwr` asks once a day for a newer version, and says from which system
    "MLFLOW_DISABLE_TELEMETRY": "true",  # posts from its import on; its server and pages too
    "HF_HUB_DISABLE_TELEMETRY": "1",  # of the library with which timm downloads weights
}
"""Nothing about who runs what leaves the machine by itself."""

OURS: Mapping[str, str] = {
    # Under `uv run`, Ray would start workers by another `uv run` in a folder that has no project: none could start.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Flower builds an environment a run; without byte code its processes import for so long that they are given up.
    "UV_COMPILE_BYTECODE": "1",
}
"""What makes the libraries work together."""


def settle_environment() -> None:
    """Make the settings in this process and those it starts; what the user has set stays."""
    for name, value in {**SILENT, **OURS}.items():
        os.environ.setdefault(name, value)


def shell_lines() -> str:
    """Return the settings as lines for a shell, in which what is set already stays."""
    return "".join(f"export {name}=${{{name}-{shlex.quote(value)}}}\n" for name, value in {**SILENT, **OURS}.items())
