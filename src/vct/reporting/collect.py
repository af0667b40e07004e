"""Gather the scores of finished runs into one frame, and refuse what must not share a table."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vct.errors import UserError
from vct.files import read_json
from vct.layout import RunId, floor_file
from vct.reporting.names import SAMPLES

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


def collect(experiments: Sequence[ExperimentRows], root: Path = Path()) -> pd.DataFrame:
    """Read metrics.json, config.json, protocol.json of all runs and the floors under `root`.

    Returns:
        One row per run, metric and number of sampling steps, in the order of `experiments`, with
        COLUMNS. `sampler` is `steps` (of the few-step sampler) or `heun`; for numbers of the run
        itself, such as aggregate_variance, it is empty and `steps` is missing. `value` is NaN where
        the score was not finite; `floor` is NaN where held-out data have none; `protocol` is the
        text of protocol.json, with sorted keys.

    Raises:
        UserError: if a file is missing or damaged; if the runs of one row (experiment x coupling)
            have different settings; if the runs of an experiment differ in training settings,
            data, training code or protocol.
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
        _read_object(directory / f"{name}.json") for name in ("metrics", "config", "protocol")
    )
    return _Run(run, directory, metrics, config, protocol)


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise damaged(path, "it holds no JSON object")
    return content


def damaged(path: Path, why: str) -> UserError:
    """The error for a file that is there and cannot be used."""
    return UserError(f"{path} is damaged: {why}; delete it and make it again.")


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
            "protocol": json.dumps(this.protocol, sort_keys=True),
        }
        scores = _scores(this)
        _check_floor(floor, this, {metric for metric, *_ in scores})
        for metric, sampler, steps, value in scores:
            score = {"metric": metric, "sampler": sampler, "steps": steps, "value": value}
            found.append({**head, **score, "floor": floor.scores.get(metric, math.nan)})
    return found


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
                number = _number(score, path, f"{key}.{metric}")
                sampled.append((metric, match[1], int(match[2]), number))
        elif match:
            raise damaged(path, f"{key} holds no scores")
        elif value is not None:
            own.append((key, "", None, _number(value, path, key)))
    if not sampled:
        raise damaged(path, "it holds no scores of samples")
    return sorted(sampled, key=lambda score: score[2] or 0) + own


def _number(value: Any, path: Path, key: str) -> float:
    """A number; null stands for one that was not finite."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise damaged(path, f"{key} is no number")
    return float(value) if math.isfinite(value) else math.nan


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
    content = _read_object(path)
    scores, count = content.get("scores"), content.get("num_samples")
    if not isinstance(scores, dict):
        raise damaged(path, "it has no scores")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
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
