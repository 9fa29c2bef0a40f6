.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup up demo test soak lint bench lock

help: ## what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps

# What the platform runs on comes first and alone: whoever only starts it need not wait for the tools of its developers.
$(VENV)/.runs: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "groupbuy needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version). Name another one: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed: $(VENV)/.runs requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.installed ## make .venv from the locks

up: $(VENV)/.runs ## start everything on this machine and print where it is
	@$(BIN)/groupbuy up

demo: $(VENV)/.runs ## play a team, and all that undoes one, against the running stack or one of its own
	@$(BIN)/groupbuy demo

test: setup ## all tests
	$(BIN)/pytest

soak: setup ## random buyers, operators and crashes for MINUTES (10) against a stack of its own
	$(BIN)/python -m tests.soak.run --minutes $(or $(MINUTES),10)

lint: setup ## ruff, mypy --strict, the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.runs ## throughput and latency against the floor of bare Temporal updates; the cost of refunds
	@$(BIN)/python -m bench

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" --extra embedded --extra checkout

lock: ## renew both locks (needs uv)
	$(COMPILE) --extra dev --upgrade --output-file requirements-dev.lock pyproject.toml
	$(COMPILE) --constraints requirements-dev.lock --upgrade --output-file requirements.lock pyproject.toml
