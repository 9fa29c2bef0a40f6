.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup up demo test soak lint bench drill-failover drill-restarts drill-version sbom lock

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps

# Runtime dependencies alone: `up`, `demo` and `bench` do not wait for the developers' tools.
$(VENV)/.runs: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "groupbuy needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version). Choose another one: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed: $(VENV)/.runs requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.installed ## create .venv from the lock files

up: $(VENV)/.runs ## start everything on this machine and print the addresses
	@$(BIN)/groupbuy up

demo: $(VENV)/.runs ## play a team and every kind of refund, on the running stack or on one of its own
	@$(BIN)/groupbuy demo

# A run starts a hundred Python processes: without bytecode files each of them would compile the modules again.
test: setup ## run all tests
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest

soak: setup ## OPERATIONS (2000) of buyers and operators amid FAULTS (40), on a stack of its own; SEED repeats a run
	$(BIN)/python -m tests.soak.run --operations $(or $(OPERATIONS),2000) --faults $(or $(FAULTS),40) $(if $(SEED),--seed $(SEED))

lint: setup ## run ruff, mypy --strict and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.runs ## measure throughput and latency beside bare Temporal updates; ONLY=campaign-rush and others measure one part
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

drill-failover: setup ## PostgreSQL's standby takes over under load, four times
	$(BIN)/python -m tests.drills.failover

drill-restarts: setup ## every process is restarted under load, one after the other
	$(BIN)/python -m tests.drills.restarts

drill-version: setup ## a release whose code does not replay is deployed under load, noticed, and taken back
	$(BIN)/python -m tests.drills.version

sbom: $(VENV)/.runs ## list what the platform consists of, in the format CycloneDX
	@$(BIN)/python deploy/sbom.py

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" --extra embedded --extra otel --extra oidc --extra checkout

lock: ## update the lock files (needs uv)
	$(COMPILE) --extra dev --upgrade --output-file requirements-dev.lock pyproject.toml
	$(COMPILE) --constraints requirements-dev.lock --upgrade --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra peer --constraints requirements-dev.lock --upgrade --output-file bench/peer/requirements.lock pyproject.toml
