"""How much each coupling gains on independent noise, by the dimension of the data and the length of
the training, or by the objective where a suite has several."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from vct.lab.report import names, style
from vct.lab.report.collect import Collected
from vct.lab.report.comparisons import BASE
from vct.lab.report.paired import Paired

_PLACE = ["experiment", "dataset", "objective", "dimension", "steps", "coupling"]
COLUMNS = [*_PLACE, "seeds", "n", "gain", "low", "high"]
_LOOKS = {"": ("-", "o"), "fitted": ("--", "s"), "aggregate": (":", "^"), "late": ("-.", "D")}
"""Line and marker by what sampling starts from."""
_WIDE, _HIGH, _LEFT, _GAP, _TOP, _BELOW = 330, 250, 74, 84, 46, 104
_MARGIN, _BESIDE = 1.4, 0.011
"""Of a logarithmic axis: factor beyond its ends; share of its width between neighbours."""
_ENTRIES, _LINE, _LINES = 3, 22, 2  # of the legend: in a line, pixels of one, lines in `_BELOW`


def gains(collected: Collected, primary: str, sizes: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    """Gains relative to independent noise, with COLUMNS: 1 - score / (its mean score), over the
    seeds that both have, with Student's interval; of scores of which less is better. `seeds` are
    all of the experiment, a frozenset.

    Args:
        primary: key of the samples.
        sizes: dimension of the data and steps of the training, by experiment.
    """
    frame, rows = collected.frame, []
    for name, experiment in collected.experiments.items():
        protocol = collected.protocols[name]
        metric = protocol.metrics[0]
        here = (frame["experiment"] == name) & (frame["metric"] == metric)
        mine = frame[here & (frame["samples"] == primary)]
        by_seed = mine.pivot(index="seed", columns="coupling", values="value")
        if BASE not in by_seed or not names.metric(metric, protocol).lower_is_better:
            continue
        for row in collected.rows(name):
            both = by_seed[[BASE, row]].dropna() if row != BASE else by_seed[:0]
            if len(both):
                differences = (both[BASE] - both[row]) / both[BASE].mean()
                pair = Paired(tuple(differences))
                place = name, experiment.dataset, experiment.objective_label, *sizes[name]
                seeds = frozenset(experiment.seeds)
                rows.append((*place, row, seeds, pair.n, pair.mean, *pair.interval()))
    return pd.DataFrame(rows, columns=COLUMNS)


def gains_figure(
    path: Path, found: pd.DataFrame, labels: Mapping[str, str], suite: Sequence[str] = ()
) -> None:
    """Draw gains over the dimension, at the shortest training of each data set, and over the steps
    of the data set that has most trainings, of those that share seeds with its first; of several
    objectives side by side for each data set.

    Args:
        found: of `gains`.
        labels: of the rows.
        suite: all couplings of the suite, which share out the colours.

    Raises:
        UserError: if the folder cannot be written to.
    """
    panels = _panels(found)
    lines = math.ceil(len(set(labels) & set(found["coupling"])) / _ENTRIES)
    below = _BELOW + _LINE * max(lines - _LINES, 0)
    width, height = _LEFT + len(panels) * (_WIDE + _GAP), _TOP + _HIGH + below
    names_ = [names.coupling_of(row) for row in labels]
    colours = style.coupling_colours([*dict.fromkeys((*suite, *names_))])
    with style.style():
        figure = style.figure(width, height)
        for index, (column, title, rows) in enumerate(panels):
            left = (_LEFT + index * (_WIDE + _GAP)) / width
            axes = figure.add_axes((left, below / height, _WIDE / width, _HIGH / height))
            _panel(axes, rows, column, labels, colours)
            axes.set_xlabel(title)
        axes = figure.axes[0]
        axes.set_ylabel("gain on independent noise, %")
        handles, texts = axes.get_legend_handles_labels()
        figure.legend(handles, texts, loc="lower center", ncols=_ENTRIES)
        style.save(figure, path, colours=256)


def _panels(found: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Column of the horizontal axis, title, and rows of each panel."""
    if found["objective"].nunique() > 1:
        sets = dict.fromkeys(found["dataset"])
        return [("objective", name, found[found["dataset"] == name]) for name in sets]
    shortest = found.groupby("dataset")["steps"].transform("min")
    longest = found.groupby("dataset")["steps"].nunique()
    along = longest.idxmax() if len(longest) else ""
    trainings = found[found["dataset"] == along]
    # Others began with other networks, and saw other noise.
    first: frozenset[int] = next(iter(trainings["seeds"]), frozenset())
    shared = trainings["seeds"].map(lambda seeds: bool(seeds & first)).astype(bool)
    return [
        ("dimension", "dimension of the data", found[found["steps"] == shortest]),
        ("steps", f"training steps, {along}", trainings[shared]),
    ]


def _wide(places: pd.Series) -> float:
    """Ratio of the ends of the horizontal axis."""
    return _MARGIN**2 * float(places.max() / places.min())


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    column: str,
    labels: Mapping[str, str],
    colours: Mapping[str, str],
) -> None:
    """Points with Student's intervals, beside each other where their places are the same."""
    shown = [row for row in labels if row in set(rows["coupling"])]
    several, kinds = column == "objective", [*dict.fromkeys(rows[column])]
    for number, row in enumerate(shown):
        mine = rows[rows["coupling"] == row].sort_values(column)
        beside = number - (len(shown) - 1) / 2
        if several:
            place = mine[column].map(kinds.index) + 0.8 * beside / len(shown)
        else:  # on a logarithmic axis a factor is a shift
            place = mine[column] * _wide(rows[column]) ** (beside * _BESIDE)
        gain = 100 * mine["gain"]
        error = [100 * (mine["gain"] - mine["low"]), 100 * (mine["high"] - mine["gain"])]
        line, marker = _LOOKS[row.partition("/")[2]]
        axes.errorbar(
            place,
            gain,
            yerr=[part.fillna(0) for part in error],
            color=colours[names.coupling_of(row)],
            linestyle="" if several else line,
            linewidth=1.3,
            marker=marker,
            markersize=4,
            capsize=2,
            label=labels[row],
        )
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    axes.set_ylim(top=min(axes.get_ylim()[1], 100))  # nobody gains more; intervals of few seeds do
    axes.grid(True, axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    if several:
        axes.set_xticks(range(len(kinds)), kinds)
        axes.tick_params(axis="x", length=0)
        return
    axes.set_xscale("log")
    places = sorted(set(rows[column]))
    axes.set_xticks(apart(places))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if places:
        axes.set_xlim(places[0] / _MARGIN, places[-1] * _MARGIN)


def apart(places: list[float]) -> list[float]:
    """Those of rising places whose labels do not run into each other on a logarithmic axis."""
    kept: list[float] = []
    for place in places:
        if not kept or place >= 1.15 * kept[-1]:
            kept.append(place)
    return kept
