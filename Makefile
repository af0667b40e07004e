# Set-up and the main jobs on a machine with nothing but Python 3.11+ and make.
PYTHON ?= python3
CORES ?= all
SUITE ?= cpu
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true

.PHONY: run test unit faults lint smoke report ui adopt help

run: .venv/installed  ## data, training, samples, scores, table, figures and report of a suite
	snakemake --cores $(CORES) --config suite=$(SUITE)
	$(MAKE) --no-print-directory report

report: .venv/installed  ## results/SUITE/report.html, one file to pass on
	snakemake --cores 1 --config suite=$(SUITE) --report results/$(SUITE)/report.html

test: .venv/installed lint  ## all checks: linters, types, unit tests, both engines end to end
	pytest -n 2 --dist loadfile

unit: .venv/installed  ## the fast tests alone
	pytest -n 2 --dist loadfile --ignore tests/workflow

faults: .venv/installed  ## kill trainings and engines, damage files, fill disks; writes results/faults.md
	PYTHONPATH=benchmarks python -m faults

lint: .venv/installed  ## ruff, snakefmt, snakemake --lint, mypy
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy

smoke: .venv/installed  ## try every run of a suite for two steps, on this CPU: make smoke SUITE=paper
	vct smoke $(SUITE)

ui: .venv/installed  ## compare runs in the browser
	vct track ui

adopt: .venv/installed  ## after dvc repro, dvc pull or dvc checkout: let Snakemake take over
	vct adopt $(SUITE)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
