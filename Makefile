# What a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
# Everything lives in .venv inside the clone; stamps inside it say what is installed, and a changed
# pyproject.toml or constraints.txt installs again.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= torch==2.13.0
BENCH ?=
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is made as modules are imported: most of torch's never are.
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q --no-input --no-compile --prefer-binary -c constraints.txt
PINS := pyproject.toml constraints.txt
# PyPI's torch for Linux is the CUDA build, gigabytes of it: the CPU's comes first, and satisfies the pins.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_ALONE := $(PIP) --no-deps $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) '$(TORCH)'

.DEFAULT_GOAL := help
.PHONY: demo test lint types contracts unit fmt proto bench bench-kernels bench-refine bench-models claims gallery parity export-env train-demo soak image-base image-test clean help
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-cpu  ## install, start the server on model_repository/, segment two images, write build/demo/
	@$(BIN)/python -m segserve.cli.demo

test: $(VENV)/.stamp-dev  ## lint, types, import contracts, tests
	@$(MAKE) --no-print-directory lint types contracts unit

lint: $(VENV)/.stamp-dev  ## ruff: rules and formatting
	@echo "==> lint (ruff)"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

# Without torch its types are unknown, so the checks that then fire on every nn.Module are off;
# `make export-env` installs it, and the strict settings of pyproject.toml hold in full.
WITHOUT_TORCH := --disable-error-code=import-not-found --allow-subclassing-any --allow-untyped-decorators \
  --no-warn-return-any --no-warn-unused-ignores
types: $(VENV)/.stamp-dev  ## mypy --strict
	@echo "==> types (mypy)"
	@if $(BIN)/python -c 'import importlib.util as u; raise SystemExit(u.find_spec("torch") is None)'; \
	  then $(BIN)/mypy; \
	  else echo "    torch is not installed: its users are checked loosely (make export-env)"; \
	    $(BIN)/mypy $(WITHOUT_TORCH); fi

contracts: $(VENV)/.stamp-dev  ## import-linter: the layers of ARCHITECTURE.md
	@echo "==> import contracts (import-linter)"
	@$(BIN)/lint-imports --no-logo

TESTS ?=
WORKERS ?= 2
unit: $(VENV)/.stamp-dev  ## the default tests in WORKERS=2 processes; TESTS="tests/ops -k rle" for some
	@echo "==> tests (pytest)"
	@$(BIN)/python -m segserve.execution.kernels
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(TESTS)

fmt: $(VENV)/.stamp-dev  ## format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: $(VENV)/.stamp-dev  ## generate service/segserve/generated from proto/
	@$(BIN)/python proto/generate.py

bench: $(VENV)/.stamp-dev  ## bare loop against server; BENCH=--quick for a short run; rows go to build/bench/
	@$(BIN)/python -m loadtests.bench $(BENCH)

bench-kernels: $(VENV)/.stamp-dev  ## every kernel against its baseline (make export-env adds torch's); BENCH="--quick --only crf"
	@$(BIN)/python -m loadtests.kernels.environment build/bench-env
	@OMP_NUM_THREADS=1 build/bench-env/bin/python -m loadtests.kernels $(BENCH)

bench-refine: $(VENV)/.stamp-dev  ## plain clients alone, then beside refining ones; BENCH=--quick for a short run
	@$(BIN)/python -m loadtests.refine_load $(BENCH)

bench-models: $(VENV)/.stamp-export  ## eager torch, bare ONNX Runtime and the server; BENCH="--recipes A,B --rounds 3"
	@$(BIN)/python -m loadtests.models $(BENCH)

claims: $(VENV)/.stamp-dev  ## PointRend and dense CRF, with and without, on held-out scenes
	@$(BIN)/python -m loadtests.claims

export-env: $(VENV)/.stamp-export  ## add torch and the export extra, which `make test` then uses

gallery: $(VENV)/.stamp-cpu  ## draw every segmenter without weights on one photograph into build/gallery/
	@$(BIN)/python -m loadtests.gallery

parity: $(VENV)/.stamp-export  ## full-size models against the goldens in ../shared/goldens
	@$(BIN)/python -m pytest -q -m parity tests

MODEL ?= deeplab
train-demo: $(VENV)/.stamp-train  ## train a bundled demo model again: MODEL=deeplab (17 minutes on one core), mask_rcnn, pointrend ...
	@$(BIN)/python -m segserve.training.demo_$(MODEL) --out model_repository --seed 0

soak: $(VENV)/.stamp-dev  ## long tests
	@$(BIN)/python -m pytest -q -m slow --timeout 1800 tests

image-test: $(VENV)/.stamp-dev  ## build the container image and run it (needs root, buildah, podman, runc)
	@$(BIN)/python -m pytest -q -s -m image --timeout 1800 tests/image

image-base: build/image/base.tar  ## what the image test builds on, in place of python:3.11-slim

build/image/base.tar:
	@mkdir -p $(@D)
	@mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm $(@D)/base.partial.tar
	@mv $(@D)/base.partial.tar $@

clean:  ## remove what was built or installed here
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find service tests loadtests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3.11 ...)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, got " + sys.version.split()[0])'
	@echo "==> new environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-cpu: $(PINS) | $(VENV)/bin/python
	@echo "==> installing segserve[cpu] (about a minute when nothing is cached)"
	@$(PIP) -e '.[cpu]'
	@touch $@

$(VENV)/.stamp-dev: $(PINS) | $(VENV)/bin/python
	@echo "==> installing segserve[cpu,dev]"
	@$(PIP) -e '.[cpu,dev]'
	@touch $@ $(VENV)/.stamp-cpu

$(VENV)/.stamp-export: $(PINS) | $(VENV)/bin/python
	@echo "==> installing segserve[cpu,dev,export] with $(TORCH)"
	@$(TORCH_ALONE)
	@$(PIP) -e '.[cpu,dev,export]' '$(TORCH)'
	@touch $@ $(VENV)/.stamp-dev $(VENV)/.stamp-cpu

$(VENV)/.stamp-train: $(PINS) | $(VENV)/bin/python
	@echo "==> installing segserve[cpu,dev,train] with $(TORCH)"
	@$(TORCH_ALONE)
	@$(PIP) -e '.[cpu,dev,train]' '$(TORCH)'
	@touch $@ $(VENV)/.stamp-export $(VENV)/.stamp-dev $(VENV)/.stamp-cpu
