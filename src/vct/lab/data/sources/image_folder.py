"""Images of a folder or a zip archive under data/raw, decoded while they are written."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vct.lab.data.dataset import Split, SplitName
from vct.lab.data.sources import labels
from vct.lab.data.sources.images import MAX_BYTES, SUFFIXES, BrokenImage, decode
from vct.lab.data.sources.raw_files import TooLarge, Unreadable, open_raw, shown
from vct.lab.data.sources.spaced import evenly_spaced
from vct.lab.errors import UserError
from vct.lab.files.layout import RAW
from vct.lab.settings.data import ImageFolderSettings

CHUNK = 2**24
"""Bytes of decoded images that are gathered before they are written, for each split."""
NAMED = 5
"""Broken images that a message names; meta.json names more."""
KEPT = 1000


class ImageFolder:
    """A data set in pieces: all images of a folder or archive, in the order of their names.

    Listing is done here, so that what is wrong with names, labels or splits is said before any
    image is decoded.

    Raises:
        UserError: if there is no image, or labels or splits are not as the settings say.
    """

    def __init__(self, settings: ImageFolderSettings) -> None:
        self.settings = settings
        self.files = open_raw(RAW / settings.raw)
        self.path = self.files.path
        self.names = [name for name in self.files.names() if name.lower().endswith(SUFFIXES)]
        if not self.names:
            raise UserError(f"{self.path} holds no images ({', '.join(SUFFIXES)}); put them there.")
        # Of all, so that the classes of a trial on some are the classes of all.
        self.labels = self._labels()
        self._check_classes()
        if settings.test != "own":
            self._take(evenly_spaced(len(self.names), settings.limit))
        self.held_out = self._held_out()
        if settings.test == "own":
            self._take(self._limited_splits())
            self.held_out = self._held_out()
        self.broken: list[str] = []

    @property
    def classes(self) -> int:
        """Number of classes, 0 without labels."""
        return self.labels.classes

    @property
    def extra(self) -> dict[str, Any]:
        """Names of the classes and what was skipped, for meta.json."""
        extra: dict[str, Any] = {}
        if self.labels.names:
            extra["class_names"] = self.labels.names
        if self.broken:
            extra["skipped"] = {"count": len(self.broken), "images": self.broken[:KEPT]}
        return extra

    def _held_out(self) -> np.ndarray:
        """For each image whether it is a test image."""
        if self.settings.test == "own":
            return self._own_split()
        count = self.settings.test
        if count >= len(self.names):
            raise UserError(
                f"{self.path} holds {len(self.names)} images, of which {count} cannot be held out; "
                "make 'test' of this data set smaller."
            )
        # Its key is of a module that imports torch: half of the memory and, at times, of the time.
        from vct.lab.data.sources.hold_out import hold_out

        return hold_out(len(self.names), count, self.settings.seed)

    def _own_split(self) -> np.ndarray:
        tops = [name.split("/")[0] if "/" in name else "" for name in self.names]
        for name, top in zip(self.names, tops, strict=True):
            if top not in ("train", "test"):
                raise UserError(
                    f"{self.path}: {shown(name)} lies neither in 'train' nor in 'test', the two "
                    "folders of a data set with 'test: own'; give the number of images to hold "
                    "out if it has no split of its own."
                )
        for folder in ("train", "test"):
            if folder not in tops:
                raise UserError(f"{self.path}: there are no images in '{folder}'; put them there.")
        return np.array([top == "test" for top in tops])

    def _labels(self) -> labels.Labels:
        if self.settings.labels == "folders":
            depth = 1 if self.settings.test == "own" else 0
            return labels.from_folders(self.path, self.names, depth)
        if self.settings.labels == "json":
            return labels.from_json(self.files, self.names)
        return labels.without(len(self.names))

    def _check_classes(self) -> None:
        wanted, found = self.settings.classes, self.labels.classes
        if wanted is not None and found != wanted:
            raise UserError(
                f"{self.path} holds {found} classes and not {wanted}, as 'classes' of this data "
                "set says; complete the images or correct the number."
            )

    def _limited_splits(self) -> np.ndarray:
        """Positions of at most `limit` images of each split."""
        parts = [np.flatnonzero(self.held_out == held) for held in (False, True)]
        limit = self.settings.limit
        return np.sort(np.concatenate([part[evenly_spaced(len(part), limit)] for part in parts]))

    def _take(self, chosen: np.ndarray) -> None:
        """Keep the images at these positions alone."""
        self.names = [self.names[index] for index in chosen]
        self.labels = replace(self.labels, values=self.labels.values[chosen])

    def pieces(self) -> Iterator[tuple[SplitName, Split]]:
        """Decoded images with labels, about `CHUNK` bytes of them at a time.

        Raises:
            UserError: if images are broken, unless they are to be skipped; if sizes are mixed and
                no `size` is given.
        """
        buffers: dict[SplitName, _Buffer] = {"train": _Buffer(), "test": _Buffer()}
        images, first = self._decoded(), ""
        written = dict.fromkeys(buffers, 0)
        shape: tuple[int, ...] = ()
        for index, image in images:
            if not first:
                first, shape = self.names[index], image.shape
            if image.shape != shape:
                raise UserError(self._mixed(first, shape, self.names[index], image.shape))
            split: SplitName = "test" if self.held_out[index] else "train"
            written[split] += 1
            if not self._stops():
                piece = buffers[split].add(image, self.labels.values[index])
                if piece is not None:
                    yield split, piece
        self._check(written)
        for split, buffer in buffers.items():
            if buffer.images:
                yield split, buffer.take()

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        """Position and pixels of each image that can be read; the others are noted."""
        shown_at = time.monotonic()
        for index, name in enumerate(self.names):
            try:
                content = self.files.read(name, MAX_BYTES)
                yield index, decode(content, self.settings.channels, self.settings.size)
            except (BrokenImage, TooLarge, Unreadable) as error:
                self.broken.append(f"{shown(name)} ({error})")
            if time.monotonic() - shown_at >= 10:
                shown_at = time.monotonic()
                print(f"{index + 1}/{len(self.names)} images", file=sys.stderr, flush=True)

    def _stops(self) -> bool:
        """Whether nothing will be written, so that the rest is read only to count."""
        return bool(self.broken) and self.settings.broken == "stop"

    def _check(self, written: dict[SplitName, int]) -> None:
        named = "; ".join(self.broken[:NAMED])
        more = f" and {len(self.broken) - NAMED} more" if len(self.broken) > NAMED else ""
        summary = f"{len(self.broken)} of {len(self.names)} images are broken: {named}{more}"
        if self._stops():
            raise UserError(
                f"{self.path}: {summary}; mend or remove them, or leave them out with "
                "'broken: skip'."
            )
        for split, count in written.items():
            if not count:
                raise UserError(f"{self.path}: no {split} image can be read: {summary}.")
        if self.broken:
            print(f"{self.path}: {summary}; they are left out", file=sys.stderr)

    def _mixed(self, first: str, shape: tuple[int, ...], name: str, other: tuple[int, ...]) -> str:
        return (
            f"{self.path}: {shown(first)} has {shape[2]} x {shape[1]} pixels and {shown(name)} "
            f"{other[2]} x {other[1]}; give 'size', to which all are cropped and resized."
        )


class _Buffer:
    """Images and labels of a split, until there are enough for a piece."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.labels: list[int] = []

    def add(self, image: np.ndarray, label: int) -> Split | None:
        """Add one; the piece, if it is full."""
        self.images.append(image)
        self.labels.append(label)
        return self.take() if len(self.images) * image.nbytes >= CHUNK else None

    def take(self) -> Split:
        """What was gathered; the buffer is empty again."""
        piece = Split(np.stack(self.images), np.array(self.labels, dtype=np.int64))
        self.images, self.labels = [], []
        return piece
