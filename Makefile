# Two commands for a fresh machine: `make run` (the main job) and `make test`. Python >= 3.11 and make are all they need.
PYTHON ?= python3
BIN := .venv/bin
# Small networks: one thread each, so that simulation and learning have a core to themselves.
export OMP_NUM_THREADS ?= 1

.PHONY: run test check format setup docs clean

run: .venv/installed
	$(BIN)/expertgen run peg-insert-side

test: .venv/installed-dev
	$(BIN)/python -m pytest

check: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/codespell src tests docs benchmarks *.md

format: .venv/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

setup: .venv/installed-dev
	$(BIN)/pre-commit install

docs: .venv/installed-dev
	$(BIN)/zensical build --strict

clean:
	rm -rf .venv site

.venv/pip: constraints.txt
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed; try: make PYTHON=python3.12' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@# torch first: later packages then take this version instead of the newest.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	@touch $@

.venv/installed: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]"
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group test --group dev
	@touch $@
