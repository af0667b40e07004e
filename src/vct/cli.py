"""The `vct` command: parse, call, and one sentence when something is wrong."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from vct import __version__
from vct.errors import UserError

RUN = "EXPERIMENT/COUPLING/seedK, for example digits/variational/seed0"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vct", description="Consistency training with noise couplings, stage by stage."
    )
    parser.add_argument("--version", action="version", version=f"vct {__version__}")
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)

    def add(name: str, summary: str, argument: str | None = None, detail: str | None = None):
        stage = stages.add_parser(name, help=summary, description=summary)
        if argument:
            stage.add_argument("name", metavar=argument, help=detail)
        return stage

    add("check", "Validate params.yaml and stop.")
    add("data", "Make a data set in the common format.", "DATASET", "a name under datasets")
    add("check-data", "Hash a data set again.", "DATASET", "a name under datasets")
    add("extractor", "Train a feature extractor.", "EXTRACTOR", "a name under extractors")
    train = add("train", "Train a run, or go on where it stopped.", "RUN", RUN)
    train.add_argument(
        "--fresh", action="store_true", help="start anew; the old state is moved aside"
    )
    add("sample", "Draw samples from a trained run.", "RUN", RUN)
    add("score", "Score the samples of a run.", "RUN", RUN)
    add("floor", "Score held-out real data.", "EXPERIMENT", "a name under experiments")
    add("table", "Write the table of a suite.", "SUITE", "a name under suites")
    add("figures", "Write the figures of a suite.", "SUITE", "a name under suites")
    add("dvc", "Write the DVC stages of a suite.", "SUITE", "a name under suites")
    add("record", "Record in DVC what Snakemake made.", "SUITE", "a name under suites")
    add("adopt", "Let Snakemake take over what DVC made or pulled.", "SUITE", "a name under suites")
    track = stages.add_parser("track", help="MLflow: prepare the database, send metrics, open it.")
    actions = track.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("init", help="Create or upgrade the database.")
    actions.add_parser("ui", help="Open the browser interface on this machine.")
    scores = actions.add_parser("scores", help="Send the scores of a suite's runs.")
    scores.add_argument("name", metavar="SUITE", help="a name under suites")
    sync = actions.add_parser("sync", help="Send metrics of runs that MLflow does not have yet.")
    sync.add_argument("name", metavar="RUN", nargs="*", help=f"{RUN}; all runs by default")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code: 0, 2 for a user's error, 128 + signal if stopped."""
    _quiet_environment()
    options = _parser().parse_args(arguments)
    try:
        return _call(options) or 0
    except UserError as error:
        print(f"vct: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vct: stopped.", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        # torch reports memory as a RuntimeError of its own.
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        print("vct: error: memory is exhausted; make batch_size smaller.", file=sys.stderr)
        return 2


def entry() -> None:
    """The installed command."""
    sys.exit(main())


def _quiet_environment() -> None:
    """No library may call home."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")


def _call(options: argparse.Namespace) -> int | None:
    from vct import config

    params = config.load()
    if options.stage == "check":
        experiments = ", ".join(params.experiments)
        print(f"params.yaml is valid: experiments {experiments}")
        return None
    if options.stage == "train":
        return _train(params, options)
    if options.stage == "track":
        return _stage("tracking", options.action)(params, getattr(options, "name", []))
    modules = {
        "check-data": ("data", "check"),
        "floor": ("score", "floor"),
        "record": ("engines", "record"),
        "adopt": ("engines", "adopt"),
        "dvc": ("dvc", "run"),
    }
    module, function = modules.get(options.stage, (options.stage, "run"))
    return _stage(module, function)(params, options.name)


def _train(params: Any, options: argparse.Namespace) -> int | None:
    from vct.training.trainer import Interrupted

    try:
        _stage("train", "run")(params, options.name, fresh=options.fresh)
    except Interrupted as stop:
        print(f"vct: {options.name} {stop}; the same command goes on there.", file=sys.stderr)
        return 128 + stop.number
    return None


def _stage(module: str, function: str) -> Callable[..., int | None]:
    """A stage's function; its libraries are loaded now and not before."""
    return getattr(importlib.import_module(f"vct.stages.{module}"), function)
