"""Sample grids: the same noise in the same cell under every coupling, real data beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vct.lab.report import names, style
from vct.lab.runs.samples import scored, split_key

_PANEL = 232  # pixels that a panel should be wide, about
_BUDGET = 290_000  # bytes of pixels before upscaling: photographs in PNG stay below 300 kB
_MARGIN, _GUTTER, _HEAD, _LEFT = 14, 18, 28, 72
_BETWEEN = {1: (84, 112, 150), 3: (255, 255, 255)}  # grey pixels may be white at their edges
_REAL = "real data"
MOST = 256
"""More images than a panel shows."""


@dataclass(frozen=True)
class GridPanel:
    """Images under one heading.

    Args:
        column: the heading above, for example what the coupling is called.
        row: the heading at the left, for example `1 step`.
        images: uint8 (N, C, H, W), C 1 or 3; the same cell has the same noise in all panels.
    """

    column: str
    row: str
    images: np.ndarray

    @classmethod
    def column_of(cls, heading: str, arrays: Mapping[str, np.ndarray]) -> "list[GridPanel]":
        """One panel for each of the scored samples that samples.npz holds; those from a fitted
        prior are a column of their own, and those that needed the data are left out."""
        panels = []
        for key, images in scored(arrays).items():
            prior, schedule = split_key(key)
            if prior != "aggregate":
                column = names.label(heading, prior)
                panels.append(cls(column, names.heading(schedule), images[:MOST].copy()))
        return panels


def tile(images: np.ndarray, side: int, scale: int, gap: int = 2) -> np.ndarray:
    """The first side x side of images uint8 (N, C, H, W), row by row, as one RGB array.

    Pixels are repeated `scale` times, so they stay squares; cells without an image stay empty.
    """
    _, channels, height, width = images.shape
    cell_height, cell_width = height * scale + gap, width * scale + gap
    sheet = np.empty((side * cell_height - gap, side * cell_width - gap, 3), dtype=np.uint8)
    sheet[:] = _BETWEEN[channels]
    for index, image in enumerate(images[: side * side]):
        large = image.repeat(scale, axis=1).repeat(scale, axis=2).transpose(1, 2, 0)
        if channels == 1:
            large = large.repeat(3, axis=2)
        top, left = (index // side) * cell_height, (index % side) * cell_width
        sheet[top : top + large.shape[0], left : left + large.shape[1]] = large
    return sheet


def sample_grids(
    path: Path,
    panels: Sequence[GridPanel],
    real: np.ndarray | None = None,
    *,
    side: int | None = None,
    title: str = "",
    density: int = style.DENSITY,
) -> None:
    """Draw panels by row and column, with `real` images (N, C, H, W) as a column of their own.

    Args:
        side: cells along an edge of a panel; by default 8, or fewer where the file would be large.
        density: see `style.save`.

    Raises:
        UserError: if the folder cannot be written to.
    """
    rows = list(dict.fromkeys(panel.row for panel in panels))
    columns = list(dict.fromkeys(panel.column for panel in panels))
    grid = {(panel.row, panel.column): panel.images for panel in panels}
    if real is not None:
        columns.insert(0, _REAL)
        grid.update({(row, _REAL): real for row in rows})
    count = side or _side(list(grid.values()))
    if real is not None:
        grid.update(_split(real, rows, count * count))
    scale = max(1, round(_PANEL / (count * panels[0].images.shape[-1])))
    tiles = {place: tile(images, count, scale) for place, images in grid.items()}
    _draw(path, tiles, rows, columns, title, density)


def _split(real: np.ndarray, rows: Sequence[str], cells: int) -> dict[tuple[str, str], np.ndarray]:
    """Other real images in each row, as far as they go; a row without any repeats the first."""
    parts = {(row, _REAL): real[index * cells :][:cells] for index, row in enumerate(rows)}
    return {place: part if len(part) else real[:cells] for place, part in parts.items()}


def _side(images: Sequence[np.ndarray]) -> int:
    pixels = sum(math.prod(array.shape[1:]) for array in images)
    fewest = min(len(array) for array in images)
    return max(1, min(8, math.isqrt(_BUDGET // pixels), math.isqrt(fewest)))


def _draw(
    path: Path,
    tiles: dict[tuple[str, str], np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    density: int,
) -> None:
    """Place tiles pixel by pixel: resampling would blur them."""
    high, wide, _ = next(iter(tiles.values())).shape
    left = _LEFT if any(rows) else _MARGIN
    top = _HEAD + (24 if title else 0)
    width = left + len(columns) * (wide + _GUTTER) - _GUTTER + _MARGIN
    height = top + len(rows) * (high + _GUTTER) - _GUTTER + _MARGIN
    with style.style():
        figure = style.figure(width, height)
        for (row, column), array in tiles.items():
            x = left + columns.index(column) * (wide + _GUTTER)
            y = height - top - rows.index(row) * (high + _GUTTER) - high
            sharp = array.repeat(density, axis=0).repeat(density, axis=1)
            figure.figimage(sharp, x * density, y * density)
        for index, column in enumerate(columns):
            x = left + index * (wide + _GUTTER) + wide / 2
            figure.text(x / width, 1 - (top - 7) / height, column, ha="center", fontweight="bold")
        for index, row in enumerate(rows):
            y = 1 - (top + index * (high + _GUTTER) + high / 2) / height
            figure.text((left - 10) / width, y, row, ha="right", va="center")
        if title:
            figure.text(left / width, 1 - 8 / height, title, va="top", fontsize=10)
        style.save(figure, path, density=density)
