# Two commands on a fresh machine: `make run` (VIDEO=film.mp4) and `make test`. Needs Python 3.11+ and make; `make help`.
# Everything lands in .venv; pip's own configuration (index, proxy, certificates) is honoured throughout.

PYTHON ?= python3
VIDEO ?=
OUT ?=
ARGS ?=

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run sample weights test lint clean

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# Of pip's account, what is fetched and what went wrong; not the packages that were there already.
define install
@( $(PIP) --progress-bar off $(1) 2>&1 || touch .venv/failed ) | grep --line-buffered -v \
  -e '^Requirement already' -e '^Looking in' -e '^Collecting' -e '^ *Using cached' -e '^WARNING: Location' -e '^Installing collected' \
  -e '^Processing' -e '^ *Stored in' -e '^ *Created wheel' -e '^Building wheels' ; \
if [ -e .venv/failed ]; then rm -f .venv/failed; exit 1; fi
endef

help:
	@echo "make run                                build a sample film from real faces, run on it, measure the answer"
	@echo "make run VIDEO=film.mp4                 run on a film; on several: VIDEO='a.mp4 b.mp4 folder/'"
	@echo "make run VIDEO='\"my film.mp4\" b.mp4'    a name with spaces stands in quotes of its own"
	@echo "    OUT=folder           where the answer goes (default: a new folder under runs/)"
	@echo "    ARGS='--method hac'  further options of 'vcn run'; for 'make test', of pytest"
	@echo "make test                               lint, types and all tests"
	@echo "make lint                               ruff and mypy alone"
	@echo "make clean                              remove .venv, sample/ and caches; runs/ and fetched weights stay"
	@echo "    PYTHON=python3.12    the Python that .venv is made of: 3.11 or newer"

# VIDEO, OUT and ARGS reach the shell as they were typed, so that its quoting rules hold for them.
ifeq ($(strip $(VIDEO)),)
run: .venv/run.stamp weights sample
	$(BIN)/vcn run sample/film.mp4 --out $(or $(OUT),runs/sample --update) $(ARGS)
	$(BIN)/vcn eval $(or $(OUT),runs/sample) sample/film.json
else
run: .venv/run.stamp weights
	$(BIN)/vcn run $(VIDEO) $(if $(OUT),--out $(OUT)) $(ARGS)
endif

test: .venv/test.stamp lint weights
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: .venv/run.stamp
	$(BIN)/vcn models fetch

sample: sample/film.mp4
sample/film.mp4: $(wildcard vcn_trt/sample/*.py) | .venv/run.stamp
	$(BIN)/vcn sample sample/

clean:
	rm -rf .venv sample dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find vcn_trt tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "vcn-trt needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there)."; \
	  echo "Install a newer one and name it: make $(or $(MAKECMDGOALS),run) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) lacks venv or ensurepip: install them (Debian and Ubuntu: apt install python3-venv), then try again."; \
	  exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# torch goes first and alone: whichever build of the pinned version pip finds, nothing installed after it replaces it.
.venv/torch.stamp: constraints.txt | $(BIN)/python
	@echo "Installing torch, the largest part"
	$(call install,torch)
	@touch $@

.venv/run.stamp: .venv/torch.stamp pyproject.toml
	@echo "Installing vcn-trt"
	$(call install,--editable .)
	@touch $@

# trackers comes without its dependencies: see pyproject.toml.
.venv/test.stamp: .venv/run.stamp
	@echo "Installing what the tests need"
	$(call install,--editable '.[dev]')
	$(call install,--no-deps trackers)
	@touch $@
