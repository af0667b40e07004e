"""Samples as files that anybody can look at."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vct.lab.files.folders import whole_folder
from vct.lab.report.grids import MOST, GridPanel, sample_grids
from vct.lab.report.preview import preview
from vct.lab.reuse.model import LoadedModel
from vct.lab.sampling.drawing import to_uint8

GRID = "grid.png"


def write(model: LoadedModel, x: Tensor, folder: str | Path, grid: bool = False) -> None:
    """Write samples to a folder: images as 00000.png, ..., points as one points.csv.

    Args:
        x: samples (N, C, H, W) of `model.sample`.
        grid: write the first ones as one picture too, grid.png.

    Raises:
        UserError: if the folder holds something, or cannot be written to.
    """
    name = model.description.record.run.run
    points = model.description.data().is_points
    arrays = (x if points else to_uint8(x)).cpu().numpy()
    with whole_folder(Path(folder), lambda there: False) as new:
        if points:
            np.savetxt(new / "points.csv", arrays.reshape(len(arrays), -1), delimiter=",")
        else:
            width = max(5, len(str(len(arrays) - 1)))
            for index, image in enumerate(arrays):
                _picture(image).save(new / f"{index:0{width}}.png")
        if grid and points:
            preview(new / GRID, {name: arrays})
        elif grid:
            sample_grids(new / GRID, [GridPanel(name, "", arrays[:MOST])])


def _picture(image: np.ndarray) -> Image.Image:
    """Of (C, H, W) uint8, C 1 or 3."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
