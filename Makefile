# Everything a newcomer needs: `make demo`, `make test`. Each makes what it needs by itself.
PYTHON ?= python3
OUT ?= out/demo
SEED ?= 1
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A machine may run many tests at once; one BLAS thread each keeps them from fighting over two cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test coverage mutants lint soak bench results clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

demo: $(READY) ## play one live episode over DDS, record it, analyse it, write the paper's figures (OUT=, SEED=)
	$(BIN)/python -m maze_introspection.demo --out $(OUT) --seed $(SEED)

test: $(READY) ## the whole test suite; gets a Chromium for the report's tests where there is none
	$(BIN)/python .ci/browser.py
	$(BIN)/python -m pytest -n 2 --dist loadfile --timeout 300 --max-worker-restart 0

coverage: $(READY) ## the whole suite again, with how much of the core it reaches: 95 % of lines and branches, or it fails
	$(BIN)/python -m pytest -n 2 --dist loadfile --timeout 300 --cov --cov-report term-missing:skip-covered

mutants: $(READY) ## change one thing in contribution.py or offset.py, and a test must fail; 430 times, half an hour
	$(BIN)/python test/mutants.py

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(READY) ## every promise with its full count, then docs/reliability.md; goes on where it was, hours
	$(BIN)/python -m pytest -s --soak --timeout 0

bench: $(READY) ## speed, memory and latency, each beside its floor or limit; 25 minutes, 15 GB of temporary files
	$(BIN)/python bench/policy.py
	$(BIN)/python bench/simulator.py
	$(BIN)/python bench/introspection.py
	$(BIN)/python bench/trials.py
	$(BIN)/python bench/report.py
	$(BIN)/python bench/panel.py
	$(BIN)/python bench/loop.py --look

results: $(READY) ## the paper's experiments, then docs/results.md; goes on where it was, hours on two cores (JOBS=)
	$(BIN)/maze-policy transfer --out runs/transfer
	$(BIN)/maze-introspection results --jobs $(JOBS)

clean: ## remove the virtual environment, caches and results
	rm -rf $(VENV) out build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(READY): setup.py package.xml constraints.txt .ci/make_venv.py
	$(PYTHON) .ci/make_venv.py $(VENV)
	@touch $@
