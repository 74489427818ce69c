# Meshcore. `make demo` and `make test` do all of their own set-up in .venv, as an ordinary user, without Docker.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
MEMBERS := libs/meshcore services/galley services/pilot services/citadel services/injector services/envoy-bootstrap cli/meshctl
PYTEST := $(BIN)/python -m pytest

.PHONY: setup demo test test-compose test-capture test-kubectl lint golden lock clean

setup: $(STAMP)

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 >= 3.11 is needed"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "install python3-venv (apt-get install python3-venv)"; exit 1; }
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(addprefix ./,$(MEMBERS)))
	@touch $@

# What a plain user's machine can run. What needs more has a target of its own below.
test: setup
	$(PYTEST) -m "not compose and not kubectl and not capture" $(ARGS)

demo: setup
	$(BIN)/python -m meshctl demo $(ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy $(addsuffix /src,$(MEMBERS))

golden: setup
	$(PYTEST) -m "not compose and not kubectl and not capture" -k golden --update-golden $(ARGS)

lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.lock

$(BIN)/uv:
	python3 -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
