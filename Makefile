# Set-up and the main jobs on a machine with nothing but Python 3.11+ and make.
PYTHON ?= python3
CORES ?= all
SUITE ?= cpu
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true

.PHONY: run test unit docs faults lint smoke report ui adopt help

run: .venv/lab  ## data, training, samples, scores, table, figures and report of a suite
	snakemake --cores $(CORES) --config suite=$(SUITE)
	$(MAKE) --no-print-directory report

report: .venv/lab  ## results/SUITE/report.html, one file to pass on
	snakemake --cores 1 --config suite=$(SUITE) --report results/$(SUITE)/report.html

test: .venv/dev lint  ## all checks: linters, types, unit tests, documentation, both engines end to end
	pytest -n 2 --dist loadfile

unit: .venv/dev  ## the fast tests alone
	pytest -n 2 --dist loadfile --ignore tests/workflow

docs: .venv/dev  ## the documentation: docs/_build/index.html; a warning is an error
	sphinx-build -W --keep-going -q docs docs/_build

faults: .venv/lab  ## kill trainings and engines, damage files, fill disks; writes results/faults.md
	PYTHONPATH=benchmarks python -m faults

lint: .venv/dev  ## ruff, snakefmt, snakemake --lint, mypy
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy

smoke: .venv/lab  ## try every run of a suite for two steps, on this CPU: make smoke SUITE=paper
	vct smoke $(SUITE)

ui: .venv/lab  ## compare runs in the browser
	vct track ui

adopt: .venv/lab  ## after dvc repro, dvc pull or dvc checkout: let Snakemake take over
	vct adopt $(SUITE)

# What `make run` needs; what `make test` needs beside it goes into the same environment.
.venv/lab: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[lab]'
	touch $@

.venv/dev: .venv/lab
	$(PIP) -e '.[dev]'
	touch $@

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
