"""Images of a folder or a zip archive under data/raw, decoded while they are written."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vct.lab.data.classes import untrained
from vct.lab.data.raw.files import TooLarge, Unreadable, open_raw, shown
from vct.lab.data.raw.images import MAX_BYTES, SUFFIXES, BrokenImage, decode
from vct.lab.data.raw.labels import JSON, Labels, read_labels
from vct.lab.data.sources.base import Split, SplitName
from vct.lab.data.sources.splits import hold_out, limited
from vct.lab.errors import UserError
from vct.lab.files.layout import RAW
from vct.lab.processes.progress import counted
from vct.lab.processes.streams import say

CHUNK = 2**24
"""Bytes of decoded images that are gathered before they are written, for each split."""
NAMED = 5
"""Broken images, or files left out, that a message names; meta.json names more."""
KEPT = 1000


class ImageFolder:
    """A data set in pieces: all images of a folder or archive, in the order of their names.

    Listing is done here, so that what is wrong with names, labels or splits is said before any
    image is decoded.

    Args:
        raw: what the folder or archive is called under data/raw.
        test: how many images to hold out, or "own" if there are folders `train` and `test`.
        size: height and width to crop and resize to; without it all images must have one size.
        channels: 1 makes images grey, 3 RGB.
        labels: "none", "folders" or "json"; see `vct.lab.data.raw.labels`.
        classes: how many there must be, each with a training image.
        broken: what a damaged image does: "stop", or "skip".
        background: colour under transparent pixels; without one such an image is a broken one.
        limit: take so many images alone (of each folder, if the split is their own), of all
            classes if they suffice.
        seed: of the choice of the images that are held out.

    Raises:
        UserError: if there is no image, or labels or splits are not as they should be.
    """

    def __init__(
        self,
        raw: str,
        test: int | Literal["own"],
        size: int | None = None,
        channels: int = 3,
        labels: str = "none",
        classes: int | None = None,
        broken: str = "stop",
        background: str | None = None,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.size, self.channels, self.background = size, channels, background
        self.files, self.skips = open_raw(RAW / raw), broken == "skip"
        self.path = self.files.path
        self.broken: list[str] = []
        listing = self.files.listing
        names = [name for name in listing.names if name.lower().endswith(SUFFIXES)]
        used = {*names, JSON} if labels == "json" else set(names)
        self.left_out = sorted([*set(listing.names) - used, *listing.ignored])
        others = f"; it holds {_some(self.left_out)}" if self.left_out else ""
        if not names:
            kinds = ", ".join(SUFFIXES)
            raise UserError(f"{self.path} holds no images ({kinds}){others}; put them there.")
        # Of all, so that the classes of a trial on some are the classes of all.
        found = read_labels(labels, self.files, names, depth=1 if test == "own" else 0)
        if test == "own":
            held = _own_split(self.path, names, others)
            parts = [np.flatnonzero(~held), np.flatnonzero(held)]
            chosen = np.sort(np.concatenate([p[limited(found.values[p], limit)] for p in parts]))
            self.held_out = held[chosen]
        else:
            held = np.zeros(len(names), dtype=bool)
            chosen = limited(found.values, limit)
            _check_hold_out(self.path, len(chosen), test)
            self.held_out = hold_out(found.values[chosen], test, seed)
        if classes is not None:
            _check_classes(self.path, found, found.values[~held], classes)
        self.names = [names[index] for index in chosen]
        self.labels = replace(found, values=found.values[chosen])

    @property
    def classes(self) -> int:
        """Number of classes, 0 without labels."""
        return self.labels.classes

    @property
    def extra(self) -> dict[str, Any]:
        """Names of the classes, what was skipped and what was left out, for meta.json."""
        extra: dict[str, Any] = {}
        if self.labels.names:
            extra["class_names"] = self.labels.names
        if self.broken:
            extra["skipped"] = {"count": len(self.broken), "images": self.broken[:KEPT]}
        if self.left_out:
            named = [shown(name) for name in self.left_out[:KEPT]]
            extra["left_out"] = {"count": len(self.left_out), "names": named}
        return extra

    def pieces(self) -> Iterator[tuple[SplitName, Split]]:
        """Decoded images with labels, about `CHUNK` bytes of them at a time.

        Raises:
            UserError: if images are broken, unless they are to be skipped; if sizes are mixed and
                no `size` is given.
        """
        if self.left_out:
            say(f"{self.path}: left out: {_some(self.left_out)}")
        gathered: dict[SplitName, list[tuple[int, np.ndarray]]] = {"train": [], "test": []}
        written = dict.fromkeys(gathered, 0)
        first, shape = "", (0, 0, 0)
        for index, image in self._decoded():
            if not first:
                first, shape = self.names[index], image.shape
            if image.shape != shape:
                raise UserError(self._mixed(first, shape, self.names[index], image.shape))
            split: SplitName = "test" if self.held_out[index] else "train"
            written[split] += 1
            if not self._stops():
                gathered[split].append((index, image))
                if len(gathered[split]) * image.nbytes >= CHUNK:
                    yield split, self._piece(gathered[split])
                    gathered[split] = []
        self._check(written)
        for split, images in gathered.items():
            if images:
                yield split, self._piece(images)

    def _piece(self, images: list[tuple[int, np.ndarray]]) -> Split:
        positions = [index for index, _ in images]
        return Split(np.stack([image for _, image in images]), self.labels.values[positions])

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        """Position and pixels of each image that can be read; the others are noted."""
        for index, name in enumerate(counted(self.names, len(self.names), "images")):
            try:
                content = self.files.read(name, MAX_BYTES)
                yield index, decode(content, self.channels, self.size, self.background)
            except (BrokenImage, TooLarge, Unreadable) as error:
                self.broken.append(f"{shown(name)} ({error})")

    def _stops(self) -> bool:
        """Whether nothing will be written, so that the rest is read only to count."""
        return bool(self.broken) and not self.skips

    def _check(self, written: dict[SplitName, int]) -> None:
        named = _first(self.broken, "; ")
        summary = f"{len(self.broken)} of {len(self.names)} images are broken: {named}"
        if self._stops():
            raise UserError(
                f"{self.path}: {summary}; mend or remove them, or leave them out with "
                "'broken: skip'."
            )
        for split, count in written.items():
            if not count:
                raise UserError(f"{self.path}: no {split} image can be read: {summary}.")
        if self.broken:
            say(f"{self.path}: {summary}; they are left out")

    def _mixed(self, first: str, shape: tuple[int, ...], name: str, other: tuple[int, ...]) -> str:
        return (
            f"{self.path}: {shown(first)} has {shape[2]} x {shape[1]} pixels and {shown(name)} "
            f"{other[2]} x {other[1]}; give 'size', to which all are cropped and resized."
        )


def _first(names: Sequence[str], between: str) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return between.join(names[:NAMED]) + more


def _some(names: Sequence[str]) -> str:
    """How many files there are, and the names of some."""
    return f"{len(names)} other files ({_first([shown(name) for name in names], ', ')})"


def _check_hold_out(path: Path, found: int, test: int) -> None:
    if test >= found:
        raise UserError(
            f"{path} holds {found} images, of which {test} cannot be held out; make 'test' "
            "of this data set smaller."
        )


def _check_classes(path: Path, labels: Labels, trained: np.ndarray, classes: int) -> None:
    """Compare the number of classes with the labels of all images that may be trained on."""
    if missing := untrained(trained, labels.classes, labels.names):
        raise UserError(
            f"{path}: {missing}, and 'classes' of this data set says that there are {classes}; "
            "number the labels from 0 on without gaps, or add images."
        )
    if labels.classes != classes:
        raise UserError(
            f"{path} holds {labels.classes} classes and not {classes}, as 'classes' of this data "
            "set says; complete the images or correct the number."
        )


def _own_split(path: Path, names: Sequence[str], others: str) -> np.ndarray:
    """For each image, which lies in `train` or `test`, whether it is one to test with."""
    tops = [name.split("/")[0] if "/" in name else "" for name in names]
    for name, top in zip(names, tops, strict=True):
        if top not in ("train", "test"):
            raise UserError(
                f"{path}: {shown(name)} lies neither in 'train' nor in 'test', the two folders of "
                "a data set with 'test: own'; give the number of images to hold out if it has no "
                "split of its own."
            )
    for folder in ("train", "test"):
        if folder not in tops:
            raise UserError(f"{path}: there are no images in '{folder}'{others}; put them there.")
    return np.array([top == "test" for top in tops])
