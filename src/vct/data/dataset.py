"""The common format on disk: memory-mapped arrays, labels and a content hash.

A data set is a folder with `{train,test}_x.npy` (uint8 images or float32 points, (N, C, H, W)),
`{train,test}_labels.npy` (int64) and `meta.json`, which is written last and holds the hash.
"""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vct.errors import UserError
from vct.files import atomic, read_json, write_json
from vct.layout import DATA_FILES, dataset_dir

FORMAT = 1


@dataclass(frozen=True)
class Split:
    """Points float32 or images uint8 (N, C, H, W) and labels int64 (N,)."""

    x: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Source:
    """A data set in memory, before it is written in the common format."""

    train: Split
    test: Split
    classes: int
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A data set on disk.

    Args:
        name: its name in params.yaml.
        train, test: arrays, memory-mapped.
        meta: shape (C, H, W), classes, sha256 of the content, and what the source adds.
    """

    name: str
    train: Split
    test: Split
    meta: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.meta["shape"]
        return channels, height, width

    @property
    def is_points(self) -> bool:
        """Points are float32 and stay as they are; images are uint8 and are scaled to [-1, 1]."""
        return self.meta["dtype"] == "float32"

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return self.meta["sha256"]


def write(name: str, source: Source, settings: dict[str, Any], root: Path = Path()) -> None:
    """Write a data set in the common format."""
    folder = root / dataset_dir(name)
    arrays = _arrays(source.train, source.test)
    for file, array in zip(DATA_FILES, arrays, strict=False):
        with atomic(folder / file) as temporary, temporary.open("wb") as stream:
            np.save(stream, array)
    meta = {
        "format": FORMAT,
        "name": name,
        "source": settings,
        "sha256": content_hash(arrays),
        **_facts(arrays),
        "classes": source.classes,
        **source.extra,
    }
    write_json(folder / "meta.json", meta)


def _arrays(train: Split, test: Split) -> list[np.ndarray]:
    """In the order of `DATA_FILES`."""
    return [train.x, train.labels, test.x, test.labels]


def content_hash(arrays: list[np.ndarray]) -> str:
    """SHA-256 over shapes, types and values, read in pieces."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        for start in range(0, len(array), 4096):
            digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
    return digest.hexdigest()


def load(name: str, root: Path = Path()) -> Dataset:
    """Open a data set and compare its content with the recorded hash.

    Raises:
        UserError: if a file is missing or damaged, or the content is not what was written.
    """
    folder = root / dataset_dir(name)
    remedy = f"make it again with: vct data {name}"
    for file in DATA_FILES:
        if not (folder / file).is_file():
            raise UserError(f"{folder / file} is missing; {remedy}")
    meta = read_json(folder / "meta.json")
    arrays = []
    for file in DATA_FILES[:-1]:
        try:
            arrays.append(_open(folder / file))
        except Exception as error:  # numpy's reader meets a damaged header with many kinds
            raise UserError(f"{folder / file} is damaged ({error}); {remedy}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise UserError(f"{folder / 'meta.json'} is not of format {FORMAT}; {remedy}")
    facts = _facts(arrays) | {"sha256": content_hash(arrays)}
    if any(meta.get(key) != value for key, value in facts.items()):
        raise UserError(f"{folder} does not hold what {folder / 'meta.json'} records; {remedy}")
    if problem := _problem(arrays, meta):
        raise UserError(f"{folder} with its meta.json holds no data set: {problem}; {remedy}")
    return Dataset(name, Split(arrays[0], arrays[1]), Split(arrays[2], arrays[3]), meta)


def _open(file: Path) -> np.ndarray:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        raise ValueError(f"it holds {array.dtype} of shape {array.shape}")
    return array


def _problem(arrays: list[np.ndarray], meta: dict[str, Any]) -> str | None:
    """What keeps arrays with the right hash from being a data set."""
    classes = meta.get("classes")
    if isinstance(classes, bool) or not isinstance(classes, int) or not 1 <= classes < 2**31:
        return "classes is no number of classes"
    for x, labels in (arrays[:2], arrays[2:]):
        if x.ndim != 4 or x.shape[1:] != arrays[0].shape[1:] or 0 in x.shape:
            return f"data of shape {x.shape}"
        if str(x.dtype) not in ("uint8", "float32") or x.dtype != arrays[0].dtype:
            return f"data of type {x.dtype}"
        if x.dtype == np.float32 and not np.isfinite(x).all():
            return "some data are not finite"
        if labels.dtype != np.int64 or labels.shape != x.shape[:1]:
            return f"labels {labels.dtype} of shape {labels.shape}"
        if labels.min() < 0 or labels.max() >= classes:
            return f"a label is not in 0..{classes - 1}"
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


def _facts(arrays: list[np.ndarray]) -> dict[str, Any]:
    """What meta.json says of the arrays, beside their hash."""
    train, _, test, _ = arrays
    shape = list(train.shape[1:])
    return {"train": len(train), "test": len(test), "shape": shape, "dtype": str(train.dtype)}
