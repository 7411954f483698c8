import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fedray.environment import OURS, SILENT, shell_lines

ROOT = Path(__file__).parents[1]
PLAIN = {name: value for name, value in os.environ.items() if name not in {**SILENT, **OURS}} | {
    "PYTHONPATH": str(ROOT)
}


def in_a_new_process(code: str, *command: str, **variables: str) -> str:
    done = subprocess.run(
        [*(command or (sys.executable,)), "-c", code],
        env=PLAIN | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("first", ["simulation", "cluster.size"])
def test_libraries_find_their_settings_whatever_is_imported_first(first):
    code = f"""
import fedray.{first}
from flwr.supercore.telemetry import FLWR_TELEMETRY_ENABLED as flower
from ray._common.usage.usage_lib import usage_stats_enabled, _usage_stats_report_url
from ray._private.ray_constants import RAY_ENABLE_UV_RUN_RUNTIME_ENV as by_uv
print(flower, usage_stats_enabled(), _usage_stats_report_url(), by_uv)
"""
    assert in_a_new_process(code).split() == ["0", "False", "http://127.0.0.1:9", "False"]


def test_what_the_user_has_set_stays():
    code = "import fedray, os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'], os.environ['RAY_USAGE_STATS_ENABLED'])"
    assert in_a_new_process(code, MLFLOW_DISABLE_TELEMETRY="false").split() == ["false", "0"]


def test_a_shell_gets_the_same():
    names = " ".join(f"${name}" for name in {**SILENT, **OURS})
    done = subprocess.run(
        ["bash", "-euc", f"{shell_lines()}echo {names}"],
        env={"PATH": os.environ["PATH"], "UV_COMPILE_BYTECODE": "0"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == list({**SILENT, **OURS, "UV_COMPILE_BYTECODE": "0"}.values())


def test_under_uv_run_workers_get_this_interpreter():
    code = "import fedray; from ray._private.worker import _maybe_modify_runtime_env as m; print(m({}, False))"
    uv = (sys.executable, "-m", "uv", "run", "--no-project", "--offline", "--python", sys.executable)
    found = in_a_new_process("print(0)", *uv, "python", RAY_ENABLE_UV_RUN_RUNTIME_ENV="1")
    assert found == "0\n", "uv run itself works here"
    assert in_a_new_process(code, *uv, "python") == "{}\n"


@pytest.mark.parametrize("name", ["cluster.yaml", "cluster.gcp.yaml"])
def test_a_cluster_file_starts_a_silent_ray(name):
    config = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    for part in ("head", "worker"):
        start = next(command for command in config[f"{part}_start_ray_commands"] if "ray start" in command)
        before = start.partition("ray start")[0]
        for variable, value in SILENT.items():
            assert f"{variable}={value} " in before, f"{part}: {start}"


def test_kubernetes_pods_are_silent():
    for file, wanted in {
        "ray/settings.yaml": SILENT,
        "mlflow/server.yaml": {"MLFLOW_DISABLE_TELEMETRY": "true"},
    }.items():
        text = (ROOT / "kubernetes" / "base" / file).read_text(encoding="utf-8")
        found = {key: value for part in yaml.safe_load_all(text) for key, value in (part.get("data") or {}).items()}
        assert wanted.items() <= found.items(), file


def test_containers_are_silent():
    ray, mlflow = ((ROOT / place / "Dockerfile").read_text(encoding="utf-8") for place in ("kubernetes", "mlflow"))
    assert all(f"{name}={value}" in ray for name, value in SILENT.items())
    assert "ENV MLFLOW_DISABLE_TELEMETRY=true" in mlflow


def test_each_page_that_prints_a_command_of_flower_or_ray_says_where_it_is_silenced():
    """In `.venv/bin/activate`, which the Makefile completes: a page that has such a command activates it, or links."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"shell_lines\(\).* >>\$\(BIN\)/activate$", makefile, re.MULTILINE)
    for page in (ROOT / "README.md", ROOT / "kubernetes" / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if re.search(r"^ +(flwr run|ray (up|start|job submit)|mlflow )", text, re.MULTILINE):
            assert "bin/activate" in text or "network.md" in text, page.name
