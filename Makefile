# Everything a fresh machine with Python 3.11+, git and make needs: `make sweep`, `make test`, `make ui`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# An installed uv is used; otherwise one is brought into a small environment of its own.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

.PHONY: env sweep test check format lock ui clean

env: $(VENV)/.complete

$(VENV)/.complete: requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(VENV) requirements.lock
	$(UV) pip install --quiet --python $(VENV) --no-deps --editable .
	# `flwr`, `ray` and `mlflow` in a shell that has activated it: no telemetry (docs/network.md).
	$(BIN)/python -c 'from fedray.environment import shell_lines; print(shell_lines(), end="")' >>$(BIN)/activate
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

sweep: env
	$(BIN)/python jobs/sweep_wgan.py

test: env
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --durations=30 --durations-min=5

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# All pinned versions with hashes, for Python 3.11 and later; names no index, so it works with any mirror.
lock: | $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra dev pyproject.toml -o requirements.lock

ui: env
	$(BIN)/python -m fedray.tracking.ui

clean:
	rm -rf $(VENV) .uv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
