# Everything runs in .venv, from locked requirements; the cluster is the test bed's (hack/testbed).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PYTHONPATH := operator:hack:tests

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/ready ## Bring up a cluster and watch a good and a bad model version being rolled out
	@$(PY) -m demo

.PHONY: down
down: .venv/ready ## Take everything down that demo and test have left up
	@$(PY) -m testbed down --all

.PHONY: test
test: lint types unit invariants cluster scenarios few-faults e2e ## Run lint, types, unit, invariant, cluster, scenario and end-to-end tests, and a few of the faults

.PHONY: lint
lint: .venv/ready ## Check style, layers and that generated files are up to date
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m generate --check

.PHONY: types
types: .venv/ready ## Check types strictly
	@.venv/bin/mypy

.PHONY: unit
unit: .venv/ready ## Test the parts that need no cluster
	@$(PY) -m pytest tests/unit -n 2 -q

.PHONY: invariants
invariants: .venv/ready ## Hold the invariants of the engine over 100,000 random steps
	@$(PY) -m pytest tests/invariants -n 2 -q

.PHONY: cluster
cluster: .venv/ready ## Test against a real API server (and Prometheus) with simulated nodes
	@$(PY) -m pytest tests/cluster -q -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: scenarios
scenarios: .venv/ready ## Tell what people and clusters do to a rollout, on a real API server, many stories at once
	@$(PY) -m pytest tests/scenarios -q

.PHONY: faults
faults: .venv/ready ## Kill the operator at its writes, and break what it talks to; ALL=1: at every single one
	@FAULTS_ALL=$(ALL) $(PY) -m pytest tests/faults -q

.PHONY: few-faults
few-faults: .venv/ready ## Kill the operator at one write of each story, and take its Lease
	@FAULTS_ONE=1 $(PY) -m pytest tests/faults/test_killed.py tests/faults/test_lease.py -q

.PHONY: e2e
e2e: .venv/ready ## Test with real pods, a real model server, Envoy and Prometheus
	@$(PY) -m pytest tests/e2e -q

.PHONY: bench
bench: .venv/ready ## Measure from breach to route, and what an idle fleet costs
	@$(PY) -m bench

.PHONY: prove
prove: .venv/ready ## Try healthy and faulty candidates on real pods, half an hour long, and write docs/proof.md
	@$(PY) -m prove

.PHONY: figures
figures: .venv/ready ## Simulate how often healthy candidates are taken back, and how soon bad ones
	@$(PY) -m figures

.PHONY: generate
generate: .venv/ready ## Write the CRDs, the references and Argo CD's settings anew
	@$(PY) -m generate

.PHONY: manifests
manifests: .venv/ready ## Render manifests/ from the chart anew
	@$(PY) -m generate.manifests

.PHONY: format
format: .venv/ready ## Format the code
	@.venv/bin/ruff check --fix-only .
	@.venv/bin/ruff format .

.PHONY: lock
lock: .venv/ready ## Pin the dependencies anew from pyproject.toml
	@.venv/bin/uv pip compile pyproject.toml -q --custom-compile-command "make lock" --universal --python-version 3.11 --generate-hashes -o requirements.lock
	@.venv/bin/uv pip compile pyproject.toml -q --custom-compile-command "make lock" --universal --python-version 3.11 --generate-hashes --extra dev --extra plots \
		-c requirements.lock -o requirements-dev.lock

.PHONY: clean
clean: down ## Remove the virtual environment and caches of this checkout
	@rm -rf .venv .testbed .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/ready: requirements-dev.lock
	@python3 -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	@python3 -c 'import ensurepip, venv' || { echo "python3 lacks venv: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the locked requirements into .venv"
	@python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
