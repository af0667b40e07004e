"""What arrays must be, beside unchanged, to be a data set."""

import math
from typing import Any

import numpy as np


def problem(arrays: list[np.memmap], meta: dict[str, Any]) -> str | None:
    """What keeps arrays (train, labels, test, labels) with the right hash from being a data set."""
    classes = meta.get("classes")
    if isinstance(classes, bool) or not isinstance(classes, int) or not 0 <= classes < 2**31:
        return "classes is no number of classes"
    # Data without classes have the label -1.
    lowest, highest = (0, classes - 1) if classes else (-1, -1)
    for x, labels in (arrays[:2], arrays[2:]):
        if x.ndim != 4 or x.shape[1:] != arrays[0].shape[1:] or 0 in x.shape:
            return f"data of shape {x.shape}"
        if str(x.dtype) not in ("uint8", "float32") or x.dtype != arrays[0].dtype:
            return f"data of type {x.dtype}"
        if x.dtype == np.float32 and not np.isfinite(x).all():
            return "some data are not finite"
        if labels.dtype != np.int64 or labels.shape != x.shape[:1]:
            return f"labels {labels.dtype} of shape {labels.shape}"
        if labels.min() < lowest or labels.max() > highest:
            return f"a label is not in {lowest}..{highest}"
    return _problem_of_modes(meta.get("modes"), arrays[0]) if "modes" in meta else None


def _problem_of_modes(modes: Any, x: np.ndarray) -> str | None:
    """Of a mixture: {means: K points, std: positive}."""
    try:
        means, std = np.asarray(modes["means"], dtype=float), float(modes["std"])
    except (TypeError, ValueError, KeyError, OverflowError):
        return "modes are not means and std"
    good = means.ndim == 2 and len(means) > 0 and means.shape[1] == math.prod(x.shape[1:])
    good = good and bool(np.isfinite(means).all()) and 0 < std < math.inf
    return None if good else "modes are not means and std"
