# Start with `make demo`. Needs Python 3.11 to 3.13 with venv, npm, and on Debian nothing else.
#
#   make demo     install, start everything on this machine, do real swaps      ONCE=1: then stop
#   make test     every test, on real nodes and a real PostgreSQL               ARGS="-k name"
#   make check    what CI runs: linters, types, import contracts, every test
#   make fix      let the linter and the formatter correct what they can
#   make fuzz     generated calls against the description of the API           N=20000 SEED=1
#   make bench    measure, and write docs/performance.md      BIG=1: with 5 million orders, too
#   make docs     draw again what is generated from the code
#   make nodes    fetch bitcoind and anvil into .cache
#   make rates    install what asks exchanges for prices, in an environment of its own
#   make lock     pin the newest versions of all requirements (maintainers; needs uv)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check fix fuzz bench docs nodes rates lock

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv/.package nodes
	@exec $(BIN)/swapdesk demo $(if $(ONCE),--once)

test: .venv/.dev .venv-rates/.ready nodes
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: .venv/.dev .venv-rates/.ready nodes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

fix: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: .venv/.dev
	SWAPDESK_FUZZ_CASES=$(or $(N),20000) SWAPDESK_FUZZ_SEED=$(or $(SEED),1) $(BIN)/pytest -s -q tests/fuzz

bench: .venv/.dev
	$(BIN)/python -m benchmarks $(if $(BIG),--big) $(ARGS)

docs: .venv/.dev
	$(BIN)/python tools/draw-states docs/states.md
	$(BIN)/python tools/write-openapi src/swapdesk/web/openapi.json

nodes:
	@tools/fetch-nodes

rates: .venv-rates/.ready

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv; users of the locked files do not"; exit 1; }
	$(COMPILE) --upgrade requirements.in -o requirements.txt
	$(COMPILE) --upgrade --constraints requirements.txt requirements-dev.in -o requirements-dev.txt
	$(COMPILE) --upgrade --constraints requirements-dev.txt requirements-build.in -o requirements-build.txt
	$(COMPILE) --upgrade requirements-rates.in -o requirements-rates.txt

# Each stamp is as new as what was installed from; nothing to do means nothing is done.

.venv/.runtime: requirements.txt requirements-build.txt .venv/.made
	@echo "installing what Swapdesk runs on, every download checked against its hash; about a minute the first time"
	$(PIP) install --require-hashes -r requirements.txt -r requirements-build.txt
	@touch $@

.venv/.package: pyproject.toml .venv/.runtime
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.package
	@echo "installing what tests and checks need"
	$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

# Apart from ours: ccxt pins 18 packages that the desk and the vault use in other versions.
.venv-rates/.ready: requirements-rates.txt .venv/.made
	@echo "installing what asks exchanges for prices"
	@[ -x .venv-rates/bin/python ] || $(PYTHON) -m venv .venv-rates
	.venv-rates/bin/python -m pip --disable-pip-version-check install --require-hashes -r requirements-rates.txt
	@touch $@

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || \
	  { echo "Python cannot make virtual environments here: apt install python3-venv"; rm -rf .venv; exit 1; }
	@touch $@
