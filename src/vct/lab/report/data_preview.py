"""What a data set holds, in words and in a picture, before anything trains on it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vct.lab.data.dataset import Dataset
from vct.lab.report.grids import GridPanel, sample_grids
from vct.lab.report.preview import preview

LISTED = 40
"""Classes that are named with their counts."""
SIDE = 8


def lines(data: Dataset) -> Iterator[str]:
    """Counts, sizes and classes, what was left out and why."""
    meta = data.meta
    channels, height, width = data.shape
    kind = f"points of {channels * height * width} coordinates"
    if not data.is_points:
        colour = {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")
        kind = f"{colour} images, {width} x {height} pixels"
    yield f"{data.name}: {meta.train} for training, {meta.test} held out; {kind}"
    yield (
        f"standard deviation of the training data: {data.deviation:.3f} "
        "(train.sigma_data should be near it)"
    )
    yield from _classes(data)
    extra = meta.model_extra or {}
    if skipped := extra.get("skipped"):
        yield f"skipped, because they could not be taken: {skipped['count']} images"
        yield from (f"  {name}" for name in skipped["images"][:LISTED])
    if meta.left_out:
        yield f"left out, because they are no images: {meta.left_out.count} files"
        yield from (f"  {name}" for name in meta.left_out.names[:LISTED])


def _classes(data: Dataset) -> Iterator[str]:
    count = data.meta.classes
    if not count:
        yield "no labels"
        return
    names = data.meta.class_names or [str(label) for label in range(count)]
    train, test = (np.bincount(part.labels, minlength=count) for part in (data.train, data.test))
    yield f"{count} classes, images for training + held out:"
    wide = max(map(len, names[:LISTED]))
    for name, one, two in list(zip(names, train, test, strict=True))[:LISTED]:
        yield f"  {name:{wide}}  {one} + {two}"
    if count > LISTED:
        rest = train[LISTED:]
        yield f"  {count - LISTED} more, {rest.min()} to {rest.max()} images for training each"
    if data.untrained:
        yield data.untrained


def picture(path: Path, data: Dataset) -> None:
    """Draw training samples, of a set with classes a row of each of the first ones.

    Raises:
        UserError: if the folder cannot be written to.
    """
    if data.is_points:
        preview(path, {data.name: data.train.x[data.chosen(2000)]})
        return
    panels = [GridPanel("training", "", _by_class(data, data.train.x, data.train.labels))]
    panels.append(GridPanel("held out", "", _by_class(data, data.test.x, data.test.labels)))
    sample_grids(path, panels, side=SIDE, title=data.name)


def _by_class(data: Dataset, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images (SIDE * SIDE at most, C, H, W): SIDE of each class in turn, or evenly spaced."""
    if not data.meta.classes:
        places = np.unique(np.linspace(0, len(x) - 1, SIDE * SIDE).astype(int))
        return np.asarray(x[places])
    found = [np.flatnonzero(labels == label)[:SIDE] for label in range(data.meta.classes)]
    full = [places for places in found if len(places) == SIDE][:SIDE]
    places = np.concatenate(full or found)[: SIDE * SIDE]
    return np.asarray(x[places])
