# Set-up and the main jobs on a machine with nothing but Python 3.11+ and make.
PYTHON ?= python3
CORES ?= all
SUITE ?= cpu
BIN := .venv/bin
# Errors alone: warnings are about the machine's own settings, and help nobody here.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action ignore \
	-c constraints.txt
STOPPED := { echo "The installation stopped; mend what pip names above, then give the same command again." >&2; \
	exit 1; }
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true

.PHONY: run test unit docs faults bench lint smoke report ui adopt help

run: .venv/lab  ## data, training, samples, scores, table, figures and report of a suite
	snakemake --cores $(CORES) --config suite=$(SUITE)

report: .venv/lab  ## results/SUITE/snakemake.html: the report again, with topology and run times
	snakemake --cores 1 --config suite=$(SUITE) --report results/$(SUITE)/snakemake.html \
		--report-stylesheet workflow/report/snakemake.css

test: .venv/dev lint  ## all checks: linters, types, unit tests, documentation, both engines end to end
	pytest -n 2 --dist loadfile

unit: .venv/dev  ## the fast tests alone
	pytest -n 2 --dist loadfile --ignore tests/workflow

docs: .venv/dev  ## the documentation: docs/_build/index.html; a warning is an error
	sphinx-build -W --keep-going -q docs docs/_build

faults: .venv/lab  ## kill trainings and engines, damage files, fill disks; writes results/faults.md
	PYTHONPATH=benchmarks python -m faults

bench: .venv/lab  ## time a step, plans, samples and commands against what they could take; results/benchmarks.md
	PYTHONPATH=benchmarks python -m bench

lint: .venv/dev  ## ruff, snakefmt, snakemake --lint, mypy
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy

smoke: .venv/lab  ## try every run of a suite for two steps, on this CPU: make smoke SUITE=paper
	vct smoke $(SUITE)

ui: .venv/lab  ## compare the runs of a suite in the browser: make ui SUITE=paper
	vct track ui $(SUITE)

adopt: .venv/lab  ## after dvc repro, dvc pull or dvc checkout: let Snakemake take over
	vct adopt $(SUITE)

# What `make run` needs; what `make test` needs beside it goes into the same environment.
.venv/lab: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@echo "Installing into .venv, once: about 4 minutes and 6.7 GB, most of it PyTorch with CUDA."
	@$(PYTHON) -m venv .venv
	@$(PIP) -e '.[lab]' || $(STOPPED)
	@touch $@

.venv/dev: .venv/lab
	@echo "Installing what the tests need into .venv, once: about a minute."
	@$(PIP) -e '.[dev]' || $(STOPPED)
	@touch $@

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
