"""A trained model as `mlflow.pyfunc` loads it: a number of samples in, samples out."""

from typing import Any

import numpy as np

import vct
from vct.lab.errors import UserError


class SampledModel:
    """What `mlflow.pyfunc.load_model` gives, inside MLflow's own wrapper.

    >>> model = mlflow.pyfunc.load_model("models:/cpu@digits-variational-seed0")
    >>> model.predict(16, params={"steps": 2, "seed": 1})  # (16, 1, 8, 8), images in [-1, 1]
    """

    def __init__(self, folder: str) -> None:
        self.model = vct.load(folder)

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Samples (n, C, H, W) float32.

        Args:
            data: n, or a table whose first cell says it.
            params: of `sample`: `steps`, `seed`, `prior`, and `label`, one class for all.

        Raises:
            UserError: if n is not a positive number, or no such samples can be drawn.
        """
        given = {key: value for key, value in (params or {}).items() if value is not None}
        if "label" in given:
            given["labels"] = given.pop("label")
        return self.model.sample(_number(data), **given).numpy()


def _number(data: Any) -> int:
    first = np.asarray(data).reshape(-1)[:1].tolist()
    if not first or not isinstance(first[0], int | float) or first[0] != int(first[0]):
        raise UserError("predict takes a number of samples, or a table whose first cell is one.")
    return int(first[0])


def _load_pyfunc(folder: str) -> SampledModel:
    """MLflow calls this, by this name."""
    return SampledModel(folder)
