"""Samples of a run as pictures over the steps of training, which MLflow shows with a slider."""

import math
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from vct.lab.report import names
from vct.lab.report.grids import tile
from vct.lab.report.preview import preview
from vct.lab.runs import samples
from vct.lab.tracking.files import RunFiles

SECTION = "training samples"
"""Of pictures; MLflow sorts its sections, and these are to stand after the scores."""
SIDE = 8
"""Images along an edge of a grid."""
PIXELS = 480
"""Of a grid, about."""


def send(client: Any, run: str, files: RunFiles, last: int, anew: bool = False) -> None:
    """Log the samples of each snapshot, and the final ones of every number of steps, once.

    Args:
        run: id of the MLflow run.
        last: step at which training ended.
        anew: also those that are there, since samples were drawn again: MLflow shows the later.
    """
    if not (files.results / "samples.npz").exists():
        return
    known = {_name(each.path) for each in client.list_artifacts(run, "images")}
    arrays, _ = samples.read(files.here)
    for (key, step), array in _pictured(arrays, last).items():
        if anew or (_stored(key), step) not in known:
            client.log_image(run, _picture(array, key), key=key, step=step, synchronous=True)


def _pictured(arrays: dict[str, np.ndarray], last: int) -> dict[tuple[str, int], np.ndarray]:
    """Samples by name and step; snapshots were drawn with the fewest steps."""
    final = {
        key: array for key, array in samples.scored(arrays).items() if not key.startswith("agg")
    }
    found = {(f"{SECTION}/{_plain(key)}", last): array for key, array in final.items()}
    fewest = next(iter(final), None)
    for key, array in arrays.items():
        if fewest and (step := key.removeprefix("snapshot")) != key:
            found.setdefault((f"{SECTION}/{_plain(fewest)}", int(step)), array)
    return found


def _plain(key: str) -> str:
    return names.heading(key).replace(",", "")


def _stored(key: str) -> str:
    """As MLflow spells a key in a file name."""
    return key.replace("/", "~")


def _name(path: str) -> tuple[str, int]:
    """Key and step of a logged image."""
    found = re.match(r"images/(.*)\+step\+(\d+)\+", path)
    return (found[1], int(found[2])) if found else ("", -1)


def _picture(array: np.ndarray, heading: str) -> Any:
    if array.dtype == np.uint8:
        side = min(SIDE, math.isqrt(len(array)))
        scale = max(1, round(PIXELS / (side * max(array.shape[2:]))))
        return Image.fromarray(tile(array, side, scale))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "points.png"
        preview(path, {heading.removeprefix(f"{SECTION}/"): array})
        with Image.open(path) as picture:
            return picture.convert("RGB")
