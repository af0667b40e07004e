"""Figure 1 of VCT (ICML 2025), for a 2-D mixture: the pairs of each coupling and what they teach.

Top: the paths x_t of the training pairs, seen along the axis that tells the modes apart. Middle:
which mode the trained model sends each noise point to. Bottom: its one-step samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vct.diagnostics.crossings import crossings
from vct.lab import records
from vct.lab.report import names, style
from vct.lab.runs.samples import scored

_OUTSIDE = "#9A9A9A"
_SPREADS = 4.0  # a sample further from every mode than this many standard deviations is outside
_PATHS = 120  # more lines hide each other
_POINTS = 2000  # and more points
_PANEL = 260  # pixels
_LEFT, _TOP, _BOTTOM = 92, 56, 84
_ACROSS, _DOWN = 26, 66  # pixels between panels


@dataclass(frozen=True)
class CouplingPanel:
    """What one coupling pairs and its model maps.

    Args:
        name: what the coupling is called.
        x, z: (N, 2), data points and the noise that they are paired with in training.
        noise, samples: (M, 2), noise z and the samples of fewest steps that it becomes, such as
            f(T z, T).
        key: of the samples.
    """

    name: str
    x: np.ndarray
    z: np.ndarray
    noise: np.ndarray
    samples: np.ndarray
    key: str = "steps1"

    @classmethod
    def of(cls, name: str, arrays: dict[str, np.ndarray]) -> "CouplingPanel":
        """The panel of the arrays that samples.npz holds, whose noise is that of the standard
        start, whatever other starts there are."""
        key = next(iter(scored(arrays)))
        x, z, noise = (arrays[part].reshape(-1, 2) for part in ("pair_x", "pair_z", "noise"))
        return cls(name, x, z, noise, arrays[key].reshape(-1, 2), key)


@dataclass(frozen=True)
class Modes:
    """The mixture that the data come from: means (K, 2), one standard deviation."""

    means: np.ndarray
    std: float

    @classmethod
    def of(cls, recorded: records.Modes | None, x: np.ndarray) -> "Modes":
        """What a data set says of its modes; if nothing, all its points x (N, 2, 1, 1) are one."""
        if recorded is None:
            points = x.reshape(len(x), -1)
            return cls(points.mean(axis=0, keepdims=True), float(points.std(axis=0).max()))
        return cls(np.array(recorded.means), recorded.std)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Index (N,) of the mode nearest to each of points (N, 2)."""
        return self._distances(points).argmin(axis=1)

    def outside(self, points: np.ndarray) -> np.ndarray:
        """Whether (N,) each of points (N, 2), or NaN, lies outside of all modes."""
        return ~(self._distances(points).min(axis=1) <= _SPREADS * self.std)

    def _distances(self, points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[:, None] - self.means[None], axis=2)

    @property
    def axis(self) -> int:
        """The coordinate along which the means differ most."""
        return int(np.ptp(self.means, axis=0).argmax())


@dataclass(frozen=True)
class Paths:
    """The kernel: x_t = s(t) x + t z at rising times t (n,), with the data scale s(t) (n,)."""

    times: np.ndarray
    data_scale: np.ndarray
    sigma_data: float

    def scaled(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """x_t (N, n) of one coordinate of data (N,) and noise (N,), divided by its standard
        deviation under independence."""
        scale, times = self.data_scale, self.times
        lines = scale * x[:, None] + times * z[:, None]
        return lines / np.sqrt((scale * self.sigma_data) ** 2 + times**2)


def couplings_figure(
    path: Path,
    panels: Sequence[CouplingPanel],
    modes: Modes,
    paths: Paths,
    title: str = "",
) -> None:
    """Draw all couplings side by side as PNG.

    Args:
        panels: one per coupling; M is the same for all.
        modes: of the data.
        paths: x_t of the kernel.

    Raises:
        UserError: if the folder cannot be written to.
    """
    head = _TOP + (28 if title else 0)
    width = _LEFT + len(panels) * (_PANEL + _ACROSS) - _ACROSS + 20
    height = head + 3 * (_PANEL + _DOWN) - _DOWN + _BOTTOM
    with style.style():
        figure = style.figure(width, height)
        for column, panel in enumerate(panels):
            axes = [_axes(figure, head, row, column) for row in range(3)]
            _paths(axes[0], panel, modes, paths)
            _noise(axes[1], panel, modes)
            _samples(axes[2], panel, modes)
            _heading(axes[0], panel.name)
            _label(axes, column, modes, panel.key)
        _legend(figure, len(modes.means))
        if title:
            figure.text(_LEFT / width, 1 - 10 / height, title, va="top", fontsize=11)
        style.save(figure, path, colours=256)


def _axes(figure: Figure, head: int, row: int, column: int) -> Axes:
    width, height = figure.get_size_inches() * style.DPI
    left = _LEFT + column * (_PANEL + _ACROSS)
    bottom = height - head - (row + 1) * _PANEL - row * _DOWN
    return figure.add_axes((left / width, bottom / height, _PANEL / width, _PANEL / height))


def _heading(axes: Axes, text: str) -> None:
    axes.annotate(
        text,
        (0.5, 1),
        xytext=(0, 18),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        fontsize=11,
        fontweight="bold",
    )


def _label(axes: Sequence[Axes], column: int, modes: Modes, key: str) -> None:
    """Name the rows at the left alone: the panels of a row share their axis."""
    one_step = key == "steps1"
    called = "one-step samples\n$f(T z, T)$" if one_step else f"samples\n({names.heading(key)})"
    labels = (
        f"$x_{{t,{modes.axis + 1}}}$ of the training pairs\n(scaled to unit variance)",
        "noise $z_2$, coloured by the mode\nthat the model maps it to",
        f"$x_2$ of {called}",
    )
    for here, label in zip(axes, labels, strict=True):
        if column == 0:
            here.set_ylabel(label)
        else:
            here.tick_params(labelleft=False)


# --- the three rows --------------------------------------------------------------------------


def _paths(axes: Axes, panel: CouplingPanel, modes: Modes, paths: Paths) -> None:
    """x_t of each pair over log time."""
    x, z, times = panel.x[:, modes.axis], panel.z[:, modes.axis], paths.times
    owner = modes.nearest(panel.x)
    shown = [np.column_stack([times, line]) for line in paths.scaled(x[:_PATHS], z[:_PATHS])]
    colours = [style.mode_colour(mode) for mode in owner[:_PATHS]]
    axes.add_collection(LineCollection(shown, colors=colours, linewidths=0.6, alpha=0.55))
    share = crossings(x[:_POINTS], z[:_POINTS])
    axes.set_title(f"{100 * share:.0f} % of the pairs of paths cross", fontsize=8.5, pad=4)
    axes.set_xscale("log")
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(-3.2, 3.2)
    axes.set_xlabel("time $t$ (log): from data to noise", labelpad=2)


def _noise(axes: Axes, panel: CouplingPanel, modes: Modes) -> None:
    _scatter(axes, panel.noise, panel, modes, size=4)
    axes.set_xlim(-3.4, 3.4)
    axes.set_ylim(-3.4, 3.4)
    axes.set_xlabel("$z_1$", labelpad=1)


def _samples(axes: Axes, panel: CouplingPanel, modes: Modes) -> None:
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = _SPREADS * modes.std * np.stack([np.cos(angle), np.sin(angle)])
    for mean in modes.means:
        axes.plot(*(mean[:, None] + circle), color=style.INK, linewidth=0.9)
    _scatter(axes, panel.samples, panel, modes, size=3)
    middle = modes.means.mean(axis=0)
    reach = np.abs(modes.means - middle).max() + max(8 * modes.std, 0.1)
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.set_xlabel("$x_1$", labelpad=1)
    share = modes.outside(panel.samples).mean()
    axes.set_title(f"{100 * share:.1f} % outside the circles", fontsize=8.5, pad=4)


def _scatter(
    axes: Axes, points: np.ndarray, panel: CouplingPanel, modes: Modes, size: float
) -> None:
    """Points coloured by the mode that the sample of the same noise belongs to."""
    points, samples = points[:_POINTS], panel.samples[:_POINTS]
    outside, nearest = modes.outside(samples), modes.nearest(samples)
    options: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.8}
    for mode in range(len(modes.means)):
        here = points[~outside & (nearest == mode)]
        axes.scatter(here[:, 0], here[:, 1], color=style.mode_colour(mode), **options)
    axes.scatter(points[outside, 0], points[outside, 1], color=_OUTSIDE, **options)


def _legend(figure: Figure, count: int) -> None:
    def dot(colour: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, marker="o", markersize=6, linestyle="", label=label)

    handles = [dot(style.mode_colour(mode), f"mode {mode + 1}") for mode in range(count)]
    handles.append(dot(_OUTSIDE, f"outside all modes ({_SPREADS:g} sd)"))
    circle = Line2D([], [], color=style.INK, marker="o", markersize=8, linestyle="")
    circle.set(markerfacecolor="none", label=f"{_SPREADS:g} sd around a mode")
    figure.legend(handles=[*handles, circle], loc="lower center", ncols=count + 2)
