"""One look for all figures: fonts, colours, and files with the same bytes every time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vct.lab.files.whole import atomic, damaged

DPI = 120
DENSITY = 2
"""Pixels of a file along a pixel of a layout: screens show them that sharp."""
INK = "#222222"
FAINT = "#8A8A8A"

# Okabe and Ito's palette, safe for colour-blind readers; a coupling keeps its colour everywhere.
_COUPLINGS = {
    "independent": "#0072B2",
    "ot": "#E69F00",
    "variational": "#009E73",
    "generator_augmented": "#CC79A7",
    "gc": "#CC79A7",
    "semidiscrete": "#D55E00",
    "model_ot": "#8C564B",
    "model-ot": "#8C564B",
}
_SPARE = ("#56B4E9", "#882255", "#7A7A00", "#44AA99", "#332288")

# Modes and classes: other hues, so that no mode is taken for a coupling.
MODES = ("#5D3A9B", "#E66100", "#1A85FF", "#D41159", "#7A7A00", "#40B0A6")

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "text.usetex": False,
}


@contextmanager
def style() -> Iterator[None]:
    """The project's look inside the block, whatever a user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` pixels, drawn by Agg without a display."""
    slack = 0.01  # Agg cuts off fractions, so rounding must not fall below the whole number
    made = Figure(figsize=((width + slack) / DPI, (height + slack) / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    return made


def save(made: Figure, path: Path, colours: int | None = None, density: int = DENSITY) -> None:
    """Write a figure as PNG without time or version, so that equal figures are equal bytes.

    The file says its density, by dots per inch, where that is not 1: `size` reads it.

    Args:
        colours: reduce the picture to a palette of so many, for a drawing with many small marks:
            a third of the size, and no difference to the eye.

    Raises:
        UserError: if the folder cannot be written to.
    """
    made.set_dpi(DPI * density)
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if colours is not None:
        image = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    said: dict[str, Any] = {} if density == 1 else {"dpi": (DPI * density, DPI * density)}
    with atomic(path) as temporary:
        image.save(temporary, format="png", optimize=True, **said)


def size(path: Path) -> tuple[int, int]:
    """Width and height of the layout of a figure that `save` wrote, in pixels.

    Raises:
        UserError: if the file is no picture.
    """
    try:
        with Image.open(path) as image:
            density = max(1, round(image.info.get("dpi", (DPI, DPI))[0] / DPI))
            return image.width // density, image.height // density
    except (OSError, SyntaxError) as error:
        raise damaged(path, str(error)) from None


def coupling_colours(couplings: Sequence[str]) -> dict[str, str]:
    """A colour per coupling: fixed for those of the project, spare ones for a user's own.

    Args:
        couplings: those of the whole suite, so that each keeps its colour in all figures of it.
    """
    own = [name for name in couplings if name not in _COUPLINGS]
    spare = {name: _SPARE[index % len(_SPARE)] for index, name in enumerate(own)}
    return {name: _COUPLINGS.get(name, spare.get(name, INK)) for name in couplings}


def mode_colour(index: int) -> str:
    """The colour of a mode of the data."""
    return MODES[index % len(MODES)]
