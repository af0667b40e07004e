"""A look at the samples of one run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vct.lab.report import names, style
from vct.lab.report.grids import GridPanel, sample_grids

_PANEL = 300  # pixels
_POINTS = 2000
_DENSITY = 1  # many of them: one lies beside every run
_LEFT, _BOTTOM, _TOP, _GAP = 66, 48, 30, 76


def preview(path: Path, samples: Mapping[str, np.ndarray], real: np.ndarray | None = None) -> None:
    """Write samples as a grid of images or as a scatter of points.

    Args:
        samples: by heading or by key of samples.npz; uint8 (N, C, H, W), or floats (N, 2, 1, 1)
            or (N, 2).
        real: data of the same form, shown first, or behind points.

    Raises:
        UserError: if the folder cannot be written to.
    """
    samples = {names.heading(key): array for key, array in samples.items()}
    first = next(iter(samples.values()))
    if first.dtype == np.uint8:
        panels = [GridPanel(heading, "", images) for heading, images in samples.items()]
        sample_grids(path, panels, real, density=_DENSITY)
    else:
        _scatter(path, samples, real)


def _scatter(path: Path, samples: Mapping[str, np.ndarray], real: np.ndarray | None) -> None:
    clouds = {heading: _points(array) for heading, array in samples.items()}
    data = None if real is None else _points(real)
    low, high = _limits(data if data is not None else np.concatenate(list(clouds.values())))
    width = _LEFT + len(clouds) * (_PANEL + _GAP) - _GAP + 14
    height = _TOP + _PANEL + _BOTTOM
    with style.style():
        figure = style.figure(width, height)
        for index, (heading, cloud) in enumerate(clouds.items()):
            x = _LEFT + index * (_PANEL + _GAP)
            size = (_PANEL / width, _PANEL / height)
            axes = figure.add_axes((x / width, _BOTTOM / height, *size))
            if data is not None:
                axes.scatter(
                    data[:, 0], data[:, 1], s=3, color="#C8C8C8", linewidths=0, label="data"
                )
            axes.scatter(
                cloud[:, 0],
                cloud[:, 1],
                s=3,
                color="#0072B2",
                linewidths=0,
                alpha=0.7,
                label="samples",
            )
            axes.set(xlim=low, ylim=high, title=heading, xlabel="$x_1$", ylabel="$x_2$")
            axes.xaxis.labelpad = axes.yaxis.labelpad = 1
            axes.legend(loc="upper right", markerscale=3, handletextpad=0.1)
        style.save(figure, path, density=_DENSITY)


def _points(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)[:_POINTS, :2]


def _limits(points: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """A square around nearly all finite points: a stray one must not shrink the rest."""
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return (-1.0, 1.0), (-1.0, 1.0)
    low, high = np.quantile(finite, [0.005, 0.995], axis=0)
    middle, reach = (low + high) / 2, max(float((high - low).max()) * 0.75, 1e-3)
    (x, y) = middle
    return (x - reach, x + reach), (y - reach, y + reach)
