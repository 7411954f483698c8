# Everything a fresh machine with Python 3.11+, git and make needs: `make sweep`, `make test`, `make ui`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# An installed uv is used; otherwise one is brought into a small environment of its own.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

.PHONY: env sweep test check format lock audit ui clean

env: $(VENV)/.complete

$(VENV)/.complete: requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(VENV) requirements.lock
	# Built by the lock's setuptools: an isolated build would fetch the newest, whatever that is.
	$(UV) pip install --quiet --python $(VENV) --no-deps --no-build-isolation --editable .
	# `flwr`, `ray` and `mlflow` in a shell that has activated it: no telemetry (docs/network.md).
	$(BIN)/python -c 'from fedray.environment import shell_lines; print(shell_lines(), end="")' >>$(BIN)/activate
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	sed -n '/^uv==/,/# via/p' requirements.lock >.uv/requirements.txt
	.uv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .uv/requirements.txt

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

# All pinned versions with hashes, for Python 3.11 and later; names no index, so it works with any mirror. The image of
# the tracking server has the versions of the first lock, as far as it has those packages.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: | $(UV)
	$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	printf 'mlflow[auth]\npsycopg2-binary\nboto3\n' | $(COMPILE) -c requirements.lock - -o mlflow/requirements.lock
	printf 'google-api-python-client\ngoogle-auth-httplib2\n' | \
		$(COMPILE) -c requirements.lock - -o docs/gcp/requirements.lock
	printf 'cyclonedx-bom\npip-audit\n' | $(COMPILE) - -o .ci/audit.lock

# What FedRay and its tracking server are made of (SBOM, CycloneDX), and which of it has a known weakness: pip-audit asks
# the package index, and fails where that does not know. Both tools are the Python Packaging Authority's and OWASP's own,
# in an environment of theirs.
audit: .audit/.complete
	.audit/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o sbom.json
	.audit/bin/cyclonedx-py requirements mlflow/requirements.lock --output-reproducible -o sbom-mlflow.json
	.audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		-r requirements.lock -r mlflow/requirements.lock

.audit/.complete: .ci/audit.lock | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .audit
	$(UV) pip sync --quiet --require-hashes --python .audit .ci/audit.lock
	@touch $@

ui: env
	$(BIN)/python -m fedray.tracking.ui

clean:
	rm -rf $(VENV) .uv .audit sbom*.json build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
