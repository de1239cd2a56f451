# Two commands matter: `make demo` and `make test`. Each sets up all that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_PACKAGES := clients/js/node_modules/.package-lock.json
OPENAI_PACKAGES := tests/pipeline/openai_js/node_modules/.package-lock.json
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 $(BIN)/pip -q

.PHONY: help setup demo serve test check bench format stubs lock clean
.DEFAULT_GOAL := help

help: ## Show what there is.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## Make .venv with pinned packages and the model kit (about 5 minutes, 3.5 GB, once).

# torch first and by itself: a plain `torch` brings gigabytes of CUDA, and whoever
# depends on it would ask for that. The rest is the whole closure, so --no-deps.
$(READY): pyproject.toml deploy/requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or 3.12 is needed; set PYTHON=...") if not (3, 11) <= sys.version_info < (3, 13) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages and the model kit (once; some minutes) ..."
	@$(PIP) install --no-deps $$(grep '^torch==' deploy/requirements.lock)
	@$(PIP) install --no-deps -r deploy/requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# They hold a copy of gen/js, so it is made anew with it. Node is not needed to serve, so what
# needs it goes without it, and says so.
$(NODE_PACKAGES): clients/js/package.json clients/js/package-lock.json $(shell find gen/js -type f)
	@if ! command -v npm >/dev/null; then echo "npm is not installed: no JavaScript client"; \
	elif ! (cd clients/js && npm ci --no-audit --no-fund --loglevel=error >/dev/null); then \
	  echo "npm ci failed: no JavaScript client"; fi

$(OPENAI_PACKAGES): tests/pipeline/openai_js/package.json tests/pipeline/openai_js/package-lock.json
	@if ! command -v npm >/dev/null; then echo "npm is not installed: its tests are skipped"; \
	elif ! (cd tests/pipeline/openai_js && npm ci --no-audit --no-fund --loglevel=error >/dev/null); then \
	  echo "npm ci failed: the tests of OpenAI's JavaScript client are skipped"; fi

demo: $(READY) ## Ask about a photo, a recording and a video, on real models, offline.
	@$(BIN)/sensorium demo

serve: $(READY) ## Start all services on 127.0.0.1:50051.
	@$(BIN)/sensorium serve

test: $(READY) $(NODE_PACKAGES) $(OPENAI_PACKAGES) ## Run the tests.
	@$(BIN)/pytest

check: $(READY) $(NODE_PACKAGES) ## Ruff, mypy strict, buf lint, stubs in sync, Go and JavaScript, the README's commands.
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/buf lint
	@$(BIN)/python deploy/check_stubs.py
	@deploy/check_clients.sh
	@$(BIN)/pytest tests/readme

bench: $(READY) ## Measure against what a user would use instead; writes build/bench.
	@$(BIN)/python -m tests.bench

format: $(READY) ## Format the code.
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

stubs: $(READY) $(NODE_PACKAGES) ## Generate gen/ from protos.
	@$(BIN)/python deploy/generate_stubs.py

lock: $(READY) ## Write deploy/requirements.lock from .venv.
	@deploy/lock.sh

clean: ## Remove what was built here.
	rm -rf $(VENV) build .mypy_cache .ruff_cache
