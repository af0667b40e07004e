"""Read how the runs of an experiment went: training.csv and trajectory.csv."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vct.lab.errors import UserError
from vct.lab.files.whole import damaged
from vct.lab.report.collect import METRIC, ExperimentRows

TRAINING = (
    "step",
    "loss",
    "consistency_loss",
    "kl",
    "grad_norm",
    "learning_rate",
    "grid_points",
)
LARGEST = 1e40
"""Beyond what float32 holds; such a finite number was not written by a training."""
MOST_STEPS = 1e12


@dataclass(frozen=True)
class Histories:
    """Long frames with the columns coupling and seed.

    `training` has TRAINING as well; `trajectory` has step and `metric`'s values under `value`.
    """

    training: pd.DataFrame
    trajectory: pd.DataFrame
    metric: str


def read_histories(experiment: ExperimentRows, root: Path = Path()) -> Histories:
    """Read training.csv and trajectory.csv of all runs of an experiment under `root`.

    Raises:
        UserError: if one is missing or damaged, or runs follow different metrics.
    """
    training, trajectories = [], []
    metric = ""
    for run in experiment.runs():
        directory = root / run.directory
        training.append(
            _read(directory / "training.csv", TRAINING).assign(coupling=run.coupling, seed=run.seed)
        )
        path = directory / "trajectory.csv"
        table = _read(path, ("step",))
        if len(table.columns) != 2 or (metric and table.columns[1] != metric):
            raise damaged(path, f"it should have the columns step and {metric or 'a metric'}")
        metric = str(table.columns[1])
        trajectories.append(
            table.rename(columns={metric: "value"}).assign(coupling=run.coupling, seed=run.seed)
        )
    return Histories(_stack(training), _stack(trajectories), metric)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the stage that makes it first.") from None
    except (ValueError, OSError) as error:
        raise damaged(path, " ".join(str(error).split())) from None
    for column in columns:
        if column not in table.columns:
            raise damaged(path, f"it has no column {column}")
    if not all(METRIC.fullmatch(column) for column in table.columns):
        raise damaged(path, "its columns have strange names")
    for column in table.columns:
        if not len(table):
            table[column] = table[column].astype(float)
        elif not pd.api.types.is_numeric_dtype(table[column]):
            raise damaged(path, f"its column {column} holds more than numbers")
        elif table[column].abs().between(LARGEST, math.inf, inclusive="neither").any():
            raise damaged(path, f"its column {column} holds a number beyond {LARGEST:g}")
    steps = table["step"]
    if not ((steps >= 0) & (steps < MOST_STEPS) & (steps == steps.round())).all():
        raise damaged(path, "its column step holds more than numbers of steps")
    return table


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)
