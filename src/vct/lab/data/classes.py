"""Classes that have no training image: a conditional model would be sampled there all the same."""

from collections.abc import Sequence

import numpy as np

NAMED = 5
"""Classes that a message names."""


def untrained(labels: np.ndarray, classes: int, names: Sequence[str] = ()) -> str:
    """Which of the classes 0 to `classes` - 1 none of the training labels (N,) is of, in words:
    "2 of 10 classes (3, 7) have no training image".

    "" if there is no such class, nor where there are no samples, as of data not made yet.

    Args:
        names: of the classes, where they have any.
    """
    if not classes or not len(labels):
        return ""
    found = np.flatnonzero(np.bincount(labels, minlength=classes) == 0).tolist()
    if not found:
        return ""
    shown = [f"{each} '{names[each]}'" if names else str(each) for each in found[:NAMED]]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    verb = "has" if len(found) == 1 else "have"
    return f"{len(found)} of {classes} classes ({', '.join(shown)}{more}) {verb} no training image"
