"""Gather the scores of finished runs into one frame, and refuse what must not share a table."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vct.lab.errors import UserError, quoted
from vct.lab.files.layout import RunId, floor_file
from vct.lab.files.whole import damaged, file_sha256, read_object
from vct.lab.report.names import SAMPLES
from vct.lab.report.protocol import is_count
from vct.lab.report.protocol import problem as protocol_problem

METRIC = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Names of metrics become columns and headings."""
LARGEST = 1e300
"""A larger score cannot be averaged; one that overflowed is stored as null."""

COLUMNS = [
    "experiment",
    "dataset",
    "kernel",
    "objective",
    "coupling",
    "seed",
    "metric",
    "sampler",
    "steps",
    "value",
    "floor",
    "floor_samples",
    "settings_sha256",
    "versions",
    "samples_sha256",
    "protocol",
]


@dataclass(frozen=True)
class ExperimentRows:
    """One experiment of a table: its couplings in the order of the rows, and its seeds."""

    experiment: str
    dataset: str
    kernel: str
    objective: str
    couplings: tuple[str, ...]
    seeds: tuple[int, ...]

    def runs(self) -> list[RunId]:
        """All runs, by coupling, then seed."""
        return [
            RunId(self.experiment, name, seed) for name in self.couplings for seed in self.seeds
        ]


@dataclass(frozen=True)
class _Run:
    """What the files of one run say."""

    run: RunId
    directory: Path
    metrics: dict[str, Any]
    config: dict[str, Any]
    protocol: dict[str, Any]
    files: dict[str, Any]


def collect(experiments: Sequence[ExperimentRows], root: Path = Path()) -> pd.DataFrame:
    """Read metrics.json, config.json, protocol.json of all runs and the floors under `root`.

    Returns:
        One row per run, metric and number of sampling steps, in the order of `experiments`, with
        COLUMNS. `sampler` is `steps` (of the few-step sampler) or `heun`; for numbers of the run
        itself, such as aggregate_variance, it is empty and `steps` is missing. `value` is NaN where
        the score was not finite; `floor` is NaN where held-out data have none; `protocol` is the
        text of protocol.json, with sorted keys and without its hashes of files, of which
        `samples_sha256` is one.

    Raises:
        UserError: if a file is missing or damaged; if the runs of one row (experiment x coupling)
            have different settings; if the runs of an experiment differ in training settings,
            data, training code or protocol; if config.json or metrics.json of a run is not the file
            that its scoring read or wrote.
    """
    rows: list[dict[str, Any]] = []
    for experiment in experiments:
        runs = [_read_run(run, root) for run in experiment.runs()]
        _check_same(runs)
        rows.extend(_rows(experiment, runs, root))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    kinds: dict[str, Any] = {
        "steps": "Int64",
        "value": float,
        "floor": float,
        "floor_samples": "Int64",
    }
    return frame.astype(kinds)


def _read_run(run: RunId, root: Path) -> _Run:
    directory = root / run.directory
    metrics, config, protocol = (
        read_object(directory / f"{name}.json") for name in ("metrics", "config", "protocol")
    )
    files = protocol.pop("files", None)
    if not isinstance(files, dict) or not isinstance(files.get("samples.npz"), str):
        raise damaged(directory / "protocol.json", "it has no hashes of files")
    if problem := protocol_problem(protocol):
        raise damaged(directory / "protocol.json", problem)
    return _Run(run, directory, metrics, config, protocol, files)


# --- what must agree -------------------------------------------------------------------------


def _check_same(runs: list[_Run]) -> None:
    """Compare every run with the first of its row and with the first of its experiment."""
    first_of_row: dict[str, _Run] = {}
    for this in runs:
        path = this.directory / "config.json"
        if this.config.get("run") != str(this.run):
            raise damaged(path, f"it is of the run {this.config.get('run')!r}, not {this.run}")
        if not isinstance(this.config.get("settings_sha256"), str):
            raise damaged(path, "it has no settings_sha256")
        row = first_of_row.setdefault(this.run.coupling, this)
        _refuse_other(row, this, "config.json", "settings_sha256", _settings_hash)
        _refuse_other(runs[0], this, "config.json", "settings", _conditions)
        _refuse_other(runs[0], this, "config.json", "data_sha256", _data_hash)
        _refuse_other(runs[0], this, "config.json", "code.training", _code_version)
        for key in sorted({*runs[0].protocol, *this.protocol}):
            _refuse_other(
                runs[0], this, "protocol.json", key, lambda run, k=key: run.protocol.get(k)
            )
        _check_files(this)


def _check_files(this: _Run) -> None:
    """The scores must be those of this protocol.json, and of the training in config.json."""
    for name in ("config.json", "metrics.json"):
        if file_sha256(this.directory / name) != this.files.get(name):
            raise UserError(
                f"{this.directory / name} is not the file that protocol.json beside it records, so "
                f"the run has no row; score it again: vct score {this.run}"
            )


def _refuse_other(first: _Run, this: _Run, file: str, key: str, part: Any) -> None:
    if part(first) != part(this):
        raise UserError(
            f"{this.directory / file}: {key} differs from that of {first.directory / file}, so "
            "their numbers cannot share a table; make both runs again with the same settings."
        )


def _settings_hash(run: _Run) -> Any:
    return run.config["settings_sha256"]


def _conditions(run: _Run) -> Any:
    """The settings that all couplings of an experiment share."""
    settings = run.config.get("settings")
    if not isinstance(settings, dict):
        raise damaged(run.directory / "config.json", "it has no settings")
    return {key: value for key, value in settings.items() if key != "coupling"}


def _data_hash(run: _Run) -> Any:
    return run.config.get("data_sha256")


def _code_version(run: _Run) -> Any:
    code = run.config.get("code")
    return code.get("training") if isinstance(code, dict) else None


# --- rows ------------------------------------------------------------------------------------


def _rows(experiment: ExperimentRows, runs: list[_Run], root: Path) -> list[dict[str, Any]]:
    floor = read_floor(experiment.experiment, root)
    found: list[dict[str, Any]] = []
    for this in runs:
        head = {
            "experiment": experiment.experiment,
            "dataset": experiment.dataset,
            "kernel": experiment.kernel,
            "objective": experiment.objective,
            "coupling": this.run.coupling,
            "seed": this.run.seed,
            "floor_samples": floor.num_samples,
            "settings_sha256": this.config["settings_sha256"],
            "versions": _versions(this),
            "samples_sha256": this.files["samples.npz"],
            "protocol": json.dumps(this.protocol, sort_keys=True),
        }
        scores = _scores(this)
        _check_floor(floor, this, {metric for metric, *_ in scores})
        for metric, sampler, steps, value in scores:
            score = {"metric": metric, "sampler": sampler, "steps": steps, "value": value}
            found.append({**head, **score, "floor": floor.scores.get(metric, math.nan)})
    return found


def _versions(this: _Run) -> str:
    """What computed the scores, as numbers of `vct.lab.versions`."""
    sampling, scoring = (this.protocol.get(key) for key in ("sampling_version", "version"))
    return f"training {_code_version(this)} sampling {sampling} scoring {scoring}"


_Score = tuple[str, str, int | None, float]


def _scores(this: _Run) -> list[_Score]:
    """(metric, sampler, steps or None, value) of one run, steps ascending."""
    path = this.directory / "metrics.json"
    sampled: list[_Score] = []
    own: list[_Score] = []
    for key, value in this.metrics.items():
        match = SAMPLES.fullmatch(key)
        if match and isinstance(value, dict) and value:
            for metric, score in value.items():
                _check_word(metric, path)
                number = _number(score, path, f"{key}.{metric}")
                sampled.append((metric, match[1], int(match[2]), number))
        elif match:
            raise damaged(path, f"{key} holds no scores")
        elif value is not None:
            _check_word(key, path)
            own.append((key, "", None, _number(value, path, key)))
    if not sampled:
        raise damaged(path, "it holds no scores of samples")
    return sorted(sampled, key=lambda score: score[2] or 0) + own


def _check_word(metric: str, path: Path) -> None:
    if not METRIC.fullmatch(metric):
        raise damaged(path, f"{quoted(metric)} is no name of a metric")


def _number(value: Any, path: Path, key: str) -> float:
    """A number; null stands for one that was not finite."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LARGEST:
        raise damaged(path, f"{quoted(key)} is no number")
    return float(value)


@dataclass(frozen=True)
class Floor:
    """Scores of held-out real data: what a perfect model could expect."""

    path: Path
    scores: dict[str, float]
    num_samples: int | None
    content: dict[str, Any]


def read_floor(experiment: str, root: Path = Path()) -> Floor:
    """Read floor.json of an experiment.

    Raises:
        UserError: if it is missing or damaged.
    """
    path = root / floor_file(experiment)
    content = read_object(path)
    scores, count = content.get("scores"), content.get("num_samples")
    if not isinstance(scores, dict):
        raise damaged(path, "it has no scores")
    for metric in scores:
        _check_word(metric, path)
    if count is not None and not is_count(count):
        raise damaged(path, "num_samples is no whole number")
    numbers = {key: _number(value, path, f"scores.{key}") for key, value in scores.items()}
    return Floor(path, numbers, count, content)


def _check_floor(floor: Floor, this: _Run, metrics: set[str]) -> None:
    if not metrics & set(floor.scores):
        raise damaged(floor.path, f"it scores none of the metrics of {this.directory}")
    for key in ("extractor", "reference"):
        if key in floor.content and floor.content[key] != this.protocol.get(key):
            raise UserError(
                f"{floor.path}: {key} differs from that of {this.directory / 'protocol.json'}, so "
                "the floor does not belong to these scores; make both again."
            )
