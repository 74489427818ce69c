# Meshcore. `make demo` and `make test` do all of their own set-up in .venv, as an ordinary user, without Docker.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
MEMBERS := libs/meshcore services/galley services/pilot services/citadel services/injector services/envoy-bootstrap cli/meshctl
PYTEST := $(BIN)/python -m pytest

.PHONY: setup demo test test-compose test-capture test-kubectl test-kubernetes has-engine has-root has-api-server conformance crds faults properties soak bench bench-ca bench-scale bench-compare bench-page lint golden lock clean

setup: $(STAMP)

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 >= 3.11 is needed"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "install python3-venv (apt-get install python3-venv)"; exit 1; }
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(addprefix ./,$(MEMBERS)))
	@touch $@

# What a plain user's machine can run. What needs more has a target of its own below. The tests of the members run two at a
# time; those of the whole system, which bring up meshes, one after the other, also where some of the members' failed. ARGS
# goes to both; 5: it chose none there.
test: setup
	@failed=0; set -x; \
	$(PYTEST) libs services cli -n 2 --dist loadfile $(ARGS) || test $$? = 5 || failed=1; \
	$(PYTEST) tests --ignore=tests/compose --ignore=tests/kubectl --ignore=tests/capture --ignore=tests/kubernetes $(ARGS) \
		|| test $$? = 5 || failed=1; \
	exit $$failed

# A Docker engine with compose 2, and a kubectl. Images are built first, for as long as it takes: no test's time covers that.
test-compose: has-engine setup
	MESHCORE_TAG=test docker compose build --quiet
	$(PYTEST) tests/compose -m compose -p no:xdist $(ARGS)

# Stock kubectls: the one on the PATH, and those that can be had from Debian without installing them.
test-kubectl: setup
	$(PYTEST) tests/kubectl -m kubectl -s $(ARGS)

# A Kubernetes API server: no package brings one, so whoever has its binary runs this.
test-kubernetes: has-api-server setup
	$(PYTEST) tests/kubernetes -m kubernetes -p no:xdist $(ARGS)

# Network namespaces and iptables, so root.
test-capture: has-root setup
	$(PYTEST) tests/capture -m capture $(ARGS)

has-engine:
	@command -v docker >/dev/null || { echo "test-compose needs docker, the command of a Docker engine"; exit 1; }
	@docker version >/dev/null 2>&1 || { echo "test-compose needs a Docker engine that answers: docker version"; exit 1; }
	@docker compose version >/dev/null 2>&1 || { echo "test-compose needs docker compose 2: docker compose version"; exit 1; }
	@command -v kubectl >/dev/null || { echo "test-compose needs kubectl on the PATH"; exit 1; }

has-api-server:
	@for program in kube-apiserver etcd kubectl; do command -v $$program >/dev/null \
		|| { echo "test-kubernetes needs $$program on the PATH"; exit 1; }; done

has-root:
	@test "$$(id -u)" = 0 || { echo "test-capture needs root, for network namespaces and iptables"; exit 1; }
	@for program in ip iptables ip6tables curl setpriv; do command -v $$program >/dev/null \
		|| { echo "test-capture needs $$program (apt-get install iproute2 iptables curl util-linux)"; exit 1; }; done

# A corpus of cases, wherever it lies: a folder with one folder for each set.
conformance: setup
	@test -n "$(CORPUS)" || { echo "say where the corpus is: make conformance CORPUS=FOLDER"; exit 1; }
	@$(BIN)/python -m tests.conformance $(CORPUS) $(ARGS)

# The long form of tests/faults. FAULT_SEED=N repeats a run.
faults: setup
	FAULT_ROUNDS=$${FAULT_ROUNDS:-200} FAULT_SEED=$${FAULT_SEED:-$$RANDOM} $(PYTEST) tests/faults -s -p no:xdist $(ARGS)

# The long form of tests/properties: other drawn configs than those of `make test`. PROPERTY_SEED=N repeats a run.
properties: setup
	@seed=$${PROPERTY_SEED:-$$RANDOM}; echo "PROPERTY_SEED=$$seed"; \
		PROPERTY_EXAMPLES=$${PROPERTY_EXAMPLES:-1000} PROPERTY_SEED=$$seed $(PYTEST) tests/properties -s -p no:xdist $(ARGS)

# Pilot while config and proxies come and go: what grows, what is refused, what differs from a fresh start. SEED=N repeats a run.
SECONDS := 1200
soak: setup
	$(BIN)/python -m bench.scale.soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

# What 10,000 config objects cost; docs/performance.md says how it is measured.
bench: setup
	$(BIN)/python bench/config.py $(ARGS)

# What a certificate costs.
bench-ca: setup
	$(BIN)/python bench/ca.py $(ARGS)

# What Pilot's engine costs with many services and proxies; nothing else should use the machine meanwhile.
bench-scale: setup
	$(BIN)/python -m bench.scale $(ARGS)

# Which figures of two results differ; without A and B, of the newest two of one name.
bench-compare: setup
	$(BIN)/python -m bench.scale.compare $(A) $(B) $(ARGS)

# Tables and plots of the newest results, in docs/performance.md.
bench-page: setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r bench/requirements.lock
	$(BIN)/python -m bench.scale.page $(ARGS)

demo: setup
	$(BIN)/python -m meshctl demo $(ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy $(addsuffix /src,$(MEMBERS))

golden: setup
	$(PYTEST) --ignore=tests/compose --ignore=tests/kubectl --ignore=tests/capture --ignore=tests/kubernetes -k golden --update-golden $(ARGS)

# deploy/crds is made from the models; a test says when it is not current.
crds: setup
	$(BIN)/python deploy/crds/generate.py

lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.lock

$(BIN)/uv:
	python3 -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
