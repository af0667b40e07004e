"""Which class each sample of a conditional model is of."""

import numpy as np

from vct.lab.data.dataset import Dataset
from vct.lab.processes.streams import say

UNEQUAL = 2.0
"""From this ratio of the largest to the smallest class on, equal numbers of samples are no picture
of the data."""


def in_shares(shares: np.ndarray, count: int) -> np.ndarray:
    """Classes (count,), int64, so that among the first n of them, whatever n, each class is as
    often as its share (K,) wants, to about one sample; in turn where all shares are equal.

    That one is next which lags most behind its share, the first of them where several do.
    """
    wanted = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    lag, found = np.zeros(len(wanted)), np.empty(count, dtype=np.int64)
    for place in range(count):
        lag += wanted
        # Equal shares are no exact numbers: what differs by rounding alone is equal.
        found[place] = np.argmax(lag > lag.max() - 1e-9)
        lag[found[place]] -= 1
    return found


def tell_unequal(data: Dataset, classes: str) -> None:
    """Say so where samples will have another mixture of classes than the data of their score."""
    if classes == "as_data":
        return
    counts = np.bincount(data.train.labels, minlength=data.meta.classes)
    if counts.max() >= UNEQUAL * counts.min():
        say(
            f"{data.name} has {counts.min()} to {counts.max()} images of a class, and the samples "
            "have as many of each, which their score counts against them; sample.classes: as_data "
            "draws them in the data's shares"
        )
