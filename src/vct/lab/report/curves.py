"""Loss, KL and distance along training, a band over the seeds of each coupling."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from vct.lab.errors import UserError
from vct.lab.records import Label
from vct.lab.report import names, style
from vct.lab.report.collect import ExperimentRows
from vct.lab.runs.provenance import SCORED, check_history, checked_scores

_WIDE, _HIGH = 300, 250  # pixels of a panel
_LEFT, _GAP, _TOP, _BOTTOM = 58, 68, 76, 58
_ENTRY, _LINE = 170, 22  # pixels of a legend entry and line
_LOG = 5  # a linear axis is easier to read below this ratio of highest to lowest
_FEW = 20  # points get a mark each
_FLOOR = "held-out real data"


_LOSS = {None: "loss", "consistency": "consistency loss", "denoiser": "denoising error"}


@dataclass(frozen=True)
class Histories:
    """How the runs of an experiment went: long frames with the columns coupling and seed.

    `training` has the columns of training.csv as well; `trajectory` has step, and the values of
    `metric` under `value`, of samples called `samples`; `label` is what the metric is called.
    """

    training: pd.DataFrame
    trajectory: pd.DataFrame
    metric: str
    samples: str
    label: Label


def read_histories(experiment: ExperimentRows) -> Histories:
    """Read training.csv and trajectory.csv of all runs of an experiment.

    Raises:
        UserError: if a file of a run is missing, damaged or not what was recorded, or if runs
            follow different metrics.
    """
    training, trajectories, metrics = [], [], set()
    for run in experiment.runs():
        config, protocol = checked_scores(run, [*SCORED, "trajectory.csv"])
        check_history(run, config)
        of_run: Any = {"coupling": run.coupling, "seed": run.seed}
        training.append(pd.read_csv(run.directory / "training.csv").assign(**of_run))
        scores = pd.read_csv(run.directory / "trajectory.csv")
        metrics.add(scores.columns[1])
        scores.columns = ["step", "value"]
        trajectories.append(scores.assign(**of_run))
    if len(metrics) > 1:
        raise UserError(
            f"runs of {experiment.experiment} were scored by different metrics "
            f"({', '.join(sorted(metrics))}); score them again."
        )
    first = next(iter(protocol.schedules))
    (metric,) = metrics
    label = names.metric(metric, protocol)
    return Histories(_stack(training), _stack(trajectories), metric, first, label)


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def curves_figure(
    path: Path,
    histories: Histories,
    experiment: ExperimentRows,
    floor: float | None = None,
    suite: Sequence[str] = (),
) -> None:
    """Draw consistency loss, KL (if a coupling has one) and distance (if followed) over steps.

    A line is the mean over seeds, its band their lowest and highest value.

    Args:
        floor: score of held-out real data, a dashed line.
        suite: all couplings of the suite, which share out the colours.

    Raises:
        UserError: if the folder cannot be written to.
    """
    training, trajectory = histories.training, histories.trajectory
    couplings = experiment.couplings
    colours = style.coupling_colours([*dict.fromkeys((*suite, *couplings))])
    with_kl = {name: label for name, label in couplings.items() if _has_kl(training, name)}
    count = 1 + bool(with_kl) + bool(len(trajectory))
    with style.style():
        figure, axes = _layout(count, len(couplings) + (floor is not None))
        loss = _LOSS[experiment.trains]
        _panel(axes[0], training, "consistency_loss", couplings, colours, loss)
        if with_kl:
            _panel(axes[1], training, "kl", with_kl, colours, "KL to the prior (nats)")
        if len(trajectory):
            sampling = names.heading(histories.samples)
            label = f"{histories.label.short}, {sampling}"
            _panel(axes[-1], trajectory, "value", couplings, colours, label, floor)
        for here in axes:
            _scale(here)
        _mark_grids(axes[0], training)
        _texts(figure, axes, experiment.experiment, training["seed"].nunique())
        style.save(figure, path, colours=256)


def _layout(count: int, entries: int) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in a row, and room below for a legend of `entries`."""
    width = _LEFT + count * (_WIDE + _GAP) - _GAP + 24
    below = _BOTTOM + _LINE * math.ceil(entries / _per_line(width))
    height = _TOP + _HIGH + below
    figure = style.figure(width, height)
    size = (_WIDE / width, _HIGH / height)
    lefts = [_LEFT + index * (_WIDE + _GAP) for index in range(count)]
    return figure, [figure.add_axes((x / width, below / height, *size)) for x in lefts]


def _per_line(width: float) -> int:
    return max(1, int(width // _ENTRY))


def _has_kl(training: pd.DataFrame, coupling: str) -> bool:
    return bool((training.loc[training["coupling"] == coupling, "kl"] > 0).any())


def _panel(
    axes: Axes,
    table: pd.DataFrame,
    column: str,
    couplings: Mapping[str, str],
    colours: Mapping[str, str],
    title: str,
    floor: float | None = None,
) -> None:
    """Mean and range over seeds by coupling, and the floor."""
    for coupling, label in couplings.items():
        by_step = table[table["coupling"] == coupling].groupby("step")[column]
        # Where a seed has no number, there is none of all seeds.
        known = by_step.count() == by_step.size()
        mean, colour = by_step.mean().where(known), colours[coupling]
        marker: dict[str, Any] = {"marker": "o", "markersize": 3} if len(mean) <= _FEW else {}
        axes.plot(mean.index, mean, color=colour, linewidth=1.4, label=label, **marker)
        band: dict[str, Any] = {"color": colour, "alpha": 0.18, "linewidth": 0}
        axes.fill_between(mean.index, by_step.min().where(known), by_step.max(), **band)
    if floor is not None and math.isfinite(floor):
        axes.axhline(floor, color=style.INK, linewidth=1, linestyle="--", label=_FLOOR)
    axes.set_title(title, loc="left")
    axes.set_xlabel("training step")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(True, which="major", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)


def _scale(axes: Axes) -> None:
    """A logarithmic axis where all values are positive and far apart, with plain numbers."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    values = drawn[np.isfinite(drawn)]
    if len(values) and values.min() > 0 and values.max() > _LOG * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _mark_grids(axes: Axes, training: pd.DataFrame) -> None:
    """A dotted line where the time grid becomes finer: the loss jumps there by construction."""
    first = training[training["seed"] == training["seed"].iloc[0]]
    first = first[first["coupling"] == first["coupling"].iloc[0]].sort_values("step")
    changed = first["grid_points"].diff().fillna(0) != 0
    for step in first.loc[changed, "step"]:
        axes.axvline(step, color=style.FAINT, linewidth=0.7, linestyle=":", zorder=0)


def _texts(figure: Figure, axes: Sequence[Axes], title: str, seeds: int) -> None:
    """Title, what the band is, and one legend for all panels."""
    width, height = figure.get_size_inches() * style.DPI
    figure.text(_LEFT / width, 1 - 8 / height, title, va="top", fontsize=11)
    if seeds > 1:
        note = f"line: mean of {seeds} seeds, band: lowest to highest"
        figure.text(_LEFT / width, 1 - 30 / height, note, va="top", fontsize=8, color=style.FAINT)
    found: dict[str, Any] = {}
    for here in axes:
        for handle, label in zip(*here.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    columns = min(len(found), _per_line(width))
    figure.legend(list(found.values()), list(found), loc="lower center", ncols=columns)
