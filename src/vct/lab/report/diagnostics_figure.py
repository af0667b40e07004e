"""Diagnostics along the level of noise, a row of panels for each experiment."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from vct.lab.report import style

PANELS = {
    "ambiguity_bound": "what x_t leaves open of x:\nVar(x | x_t) / D at most",
    "gradient_noise": "noise of the gradient\nrelative to its mean",
    "consistency_error": "squared error of f\nagainst the exact one",
    "dimension": "dimension that\nthe Jacobian shows",
    "score_by_mid_time": "score with 2 steps\nby mid time",
}
_COUNTS = ("dimension",)
_LOG = ("ambiguity_bound", "gradient_noise", "consistency_error")
_WIDE, _HIGH, _LEFT, _GAP, _TOP, _DOWN, _BELOW = 220, 170, 68, 58, 78, 112, 96
_ENTRY, _LINE = 230, 22  # pixels of a legend entry and line


def diagnostics_figure(
    path: Path,
    curves: pd.DataFrame,
    labels: Mapping[str, Mapping[str, str]],
    suite: Sequence[str] = (),
) -> None:
    """Draw what was measured along t: a line is the mean over seeds, its band mean ± sd.

    Args:
        curves: as `vct.lab.report.diagnostics.tidy` has them.
        labels: of the couplings, by experiment.
        suite: all couplings of the suite, which share out the colours.

    Raises:
        UserError: if the folder cannot be written to.
    """
    curves = curves[curves["t"].notna() & curves["name"].isin(PANELS)]
    known = set(curves.loc[curves["mean"].notna(), "name"])
    panels = {name: title for name, title in PANELS.items() if name in known} or PANELS
    rows = [name for name in labels if name in set(curves["experiment"])]
    colours = style.coupling_colours([*dict.fromkeys((*suite, *chain(*labels.values())))])
    width = _LEFT + len(panels) * (_WIDE + _GAP)
    entries = len({label for row in rows for label in labels[row].values()})
    each = max(width // _ENTRY, 1)
    below = _BELOW + _LINE * max(math.ceil(entries / each) - 1, 0)
    height = _TOP + max(len(rows), 1) * (_HIGH + _DOWN) - _DOWN + below
    with style.style():
        figure = style.figure(width, height)
        handles: dict[str, Artist] = {}
        for row, experiment in enumerate(rows):
            top = height - _TOP - row * (_HIGH + _DOWN)
            figure.text(12 / width, (top + 46) / height, experiment, fontsize=11)
            for column, (name, title) in enumerate(panels.items()):
                left = (_LEFT + column * (_WIDE + _GAP)) / width
                place = (left, (top - _HIGH) / height, _WIDE / width, _HIGH / height)
                axes = figure.add_axes(place)
                mine = curves[(curves["experiment"] == experiment) & (curves["name"] == name)]
                _panel(axes, mine, labels[experiment], colours, title, log=name in _LOG)
                if name in _COUNTS:
                    axes.set_ylim(bottom=0)
                    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
                for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                    handles.setdefault(label, handle)
        figure.legend(list(handles.values()), list(handles), loc="lower center", ncols=each)
        style.save(figure, path, colours=256)


def _panel(
    axes: Axes,
    curves: pd.DataFrame,
    couplings: Mapping[str, str],
    colours: Mapping[str, str],
    title: str,
    log: bool,
) -> None:
    for coupling, label in couplings.items():
        mine = curves[curves["coupling"] == coupling].sort_values("t")
        if mine["mean"].notna().any():
            colour, mean, sd = colours[coupling], mine["mean"], mine["sd"].fillna(0)
            axes.plot(mine["t"], mean, color=colour, linewidth=1.4, marker="o", markersize=3,
                      label=label)  # fmt: skip
            low = (mean - sd).clip(lower=mean / 2) if log else mean - sd
            axes.fill_between(mine["t"], low, mean + sd, color=colour, alpha=0.15, linewidth=0)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlabel("t")
    _plain_numbers(axes.xaxis, curves["t"])
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", ha="center", color=style.FAINT,
                  transform=axes.transAxes)  # fmt: skip
    elif log:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis, curves["mean"])
    axes.grid(True, which="major", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)


def _plain_numbers(axis: Axis, values: pd.Series) -> None:
    """Ticks of a logarithmic axis as `0.05`, in steps of ten where they would crowd otherwise."""
    found = values[values > 0]
    wide = len(found) and found.max() > 100 * found.min()
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
