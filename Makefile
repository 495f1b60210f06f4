# make demo   hard crop against Soft Augmentation on scikit-learn's digits, from nothing, in a few minutes
# make test   lint, types and the suite, as CI runs it
# make test-slow  further variants of what the suite tests
# make test-tpu  what the TPU compiler makes of the training step, without a TPU; CI runs it, too
# make test-peer  the benchmarks with the PyTorch that they compare with; the workflow in .github runs it, too
# They make their virtual environment (.venv, or .venv-tpu, .venv-peer) where it is missing. Another Python: make PYTHON=python3.12 test

PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
DEMO ?= runs/demo
BIN := $(VENV)/bin
# Modules are compiled when they are first imported: of TensorFlow's few ever are, and pip would compile them all.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
PIP := $(BIN)/python $(PIP_INSTALL)

.PHONY: demo test test-slow test-tpu test-peer lint clean
.DELETE_ON_ERROR:

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later with venv was found. Name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "error: $(PYTHON) is not a Python 3.11 or later with venv. Name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/base: pyproject.toml | $(BIN)/python
	@echo "installing softaug_jax into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/dev: pyproject.toml | $(BIN)/python
	@echo "installing softaug_jax[data,dev] into $(VENV): about 2.5 GB with TensorFlow, a minute or more"
	@$(PIP) -e '.[data,dev]'
	@touch $@ $(VENV)/base

demo: $(VENV)/base
	@$(BIN)/python main.py --config=configs/digits_baseline.py --workdir=$(DEMO)/hard_crop
	@$(BIN)/python main.py --config=configs/digits_sa.py --workdir=$(DEMO)/soft_crop
	@$(BIN)/python -m softaug_jax.report $(DEMO)/hard_crop $(DEMO)/soft_crop --out=$(DEMO)

lint: $(VENV)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: lint
	@$(BIN)/python -m pytest -q -n 2 --dist=worksteal

test-slow: $(VENV)/dev $(VENV)-tpu/ready
	@$(BIN)/python -m pytest -q -m slow -n 2
	@$(VENV)-tpu/bin/python -m pytest -q -m slow tests/tpu

# Environments of their own: where the TPU compiler is installed JAX looks for a TPU, and PyTorch crashes where TensorFlow
# was loaded before it. The rest they take from the other.
INDEX_peer := --extra-index-url https://download.pytorch.org/whl/cpu
$(VENV)-tpu/ready $(VENV)-peer/ready: $(VENV)-%/ready: $(VENV)/dev
	@echo "installing softaug_jax[$*] into $(VENV)-$*"
	@$(BIN)/python -m venv $(VENV)-$*
	@for v in $(VENV)-$* $(VENV); do $$v/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; done | \
		{ read -r own; read -r shared; echo "$$shared" > "$$own/shared.pth"; }
	@$(VENV)-$*/bin/python $(PIP_INSTALL) $(INDEX_$*) -e '.[$*]'
	@touch $@

test-tpu: $(VENV)-tpu/ready
	@$(VENV)-tpu/bin/python -m pytest -q tests/tpu

test-peer: $(VENV)-peer/ready
	@$(VENV)-peer/bin/python -m pytest -q tests/speed

clean:
	rm -rf $(VENV) $(VENV)-tpu $(VENV)-peer build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
