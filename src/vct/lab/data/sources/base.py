"""What a source of data gives: two splits of points or images with labels, whole or in pieces.

A source is a callable that takes its settings as keywords and returns a `Source`, or any object
with the attributes and the method of `Pieces`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from vct.lab.errors import UserError

SplitName = Literal["train", "test"]


@dataclass(frozen=True)
class Split:
    """Points float32 or images uint8 (N, C, H, W), and labels int64 (N,).

    Labels are 0 to `classes` - 1 of their source, or all -1 where that is 0.
    """

    x: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Source:
    """A data set in memory.

    Args:
        classes: number of classes, 0 for data without labels.
        extra: what meta.json says beside the common facts. Points are scored with the `modes` of
            their mixture: `{"means": [[0.0, 1.0], ...], "std": 0.1}`, with `shares` if unequal.
    """

    train: Split
    test: Split
    classes: int
    extra: dict[str, Any] = field(default_factory=dict)

    def pieces(self) -> Iterator[tuple[SplitName, Split]]:
        """Each split in one piece."""
        yield "train", self.train
        yield "test", self.test


@runtime_checkable
class Pieces(Protocol):
    """A data set that comes piece by piece, and so may be larger than memory.

    Attributes:
        classes: as of a `Source`.
        extra: as of a `Source`; read after the last piece.
    """

    @property
    def classes(self) -> int: ...

    @property
    def extra(self) -> dict[str, Any]: ...

    def pieces(self) -> Iterator[tuple[SplitName, Split]]:
        """Pieces of the two splits, each split in order."""
        ...


def checked(source: Any, name: str) -> Iterator[tuple[SplitName, Split]]:
    """The pieces of the source of data set `name`, each after a look whether it is sound.

    Raises:
        UserError: if the source is none, a piece is not as `Split` says or has another shape or
            type than the first, or a split has no piece.
    """
    first: Split | None = None
    given: set[str] = set()
    for split, piece in _pieces(source, name):
        first = first or piece
        if wrong := _problem(piece, first, source.classes):
            raise refused(name, f"{split}: {wrong}")
        given.add(split)
        yield split, piece
    for split in ("train", "test"):
        if split not in given:
            raise refused(name, f"{split}: there are no data")


def refused(name: str, why: str) -> UserError:
    """The error for a source that gives what is no data set."""
    return UserError(f"the source of data set '{name}' gives no sound data: {why}; mend it.")


def _pieces(source: Any, name: str) -> Iterator[tuple[SplitName, Split]]:
    if not isinstance(source, Pieces):
        kind = type(source).__name__
        wanted = f"{__name__}.Source, or an object with classes, extra and pieces()"
        raise refused(name, f"it returns {kind}, not {wanted}")
    classes = source.classes
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
        raise refused(name, f"classes is {classes!r}, not the number of classes or 0")
    for item in source.pieces():
        match item:
            case ("train" | "test") as split, Split() as piece:
                yield split, piece
            case _:
                raise refused(name, "a piece is not ('train' or 'test', Split)")


def _problem(piece: Split, first: Split, classes: int) -> str | None:
    """What keeps a piece from being a part of a data set."""
    x, labels = piece.x, piece.labels
    if not (isinstance(x, np.ndarray) and isinstance(labels, np.ndarray)):
        return "x and labels are not both numpy arrays"
    if x.ndim != 4 or 0 in x.shape:
        return f"x has shape {x.shape}, not (N, C, H, W)"
    if x.dtype not in (np.uint8, np.float32):
        return f"x has type {x.dtype}, not uint8 (images) or float32 (points)"
    if x.dtype == np.uint8 and x.shape[1] not in (1, 3):
        return f"images have {x.shape[1]} channels, not 1 or 3"
    if (x.dtype, x.shape[1:]) != (first.x.dtype, first.x.shape[1:]):
        return f"x is {x.dtype} {x.shape[1:]} after {first.x.dtype} {first.x.shape[1:]}"
    if not np.isfinite(x).all():
        return "x has values that are not finite"
    if labels.dtype != np.int64 or labels.shape != x.shape[:1]:
        return f"labels are {labels.dtype} {labels.shape}, not int64 ({len(x)},)"
    lowest, highest = (0, classes - 1) if classes else (-1, -1)
    if labels.min() < lowest or labels.max() > highest:
        return f"a label is not in {lowest}..{highest}"
    return None
