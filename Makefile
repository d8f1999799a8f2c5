# Everything a developer or a visitor does, each with all its set-up. See README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all fuzz bench bench-check lint format clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/installed ## Make a movie, serve it, watch it, print the figures
	@$(BIN)/python -m streamsocket.cli.demo

test: $(VENV)/installed-for-tests system-packages ## All tests but the long ones, lint and types
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile tests/unit
	$(BIN)/python -m pytest -m "not slow" tests/interop tests/desktop tests/soak
	$(BIN)/python tests/fuzz/run.py --runs 10000 --jobs 2

test-all: $(VENV)/installed-for-tests ## The long ones too: browsers, soak, churn, impaired networks
	@sh tests/system-packages.sh browsers
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest

fuzz: $(VENV)/installed-for-tests ## Fuzz every parser, a minute each (SECONDS_EACH=60)
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS_EACH),60)

bench: $(VENV)/installed-for-tests system-packages ## Measure everything and print the figures
	$(BIN)/python bench/check.py --report

bench-check: $(VENV)/installed-for-tests system-packages ## The same, and fail where a goal is missed
	$(BIN)/python bench/check.py

lint: $(VENV)/installed-for-tests ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict examples

format: $(VENV)/installed-for-tests ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what was built
	rm -rf $(VENV) build dist media .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: system-packages
system-packages:
	@sh tests/system-packages.sh

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "StreamSocket needs Python 3.11 or later; $(PYTHON) is older. Try: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "Installing StreamSocket into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-for-tests: pyproject.toml | $(BIN)/python
	@echo "Installing StreamSocket and its test tools into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --editable . --group dev --group test
	@touch $@ $(VENV)/installed
