"""Class labels of the images of a folder: from the names of folders, or from dataset.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vct.lab.data.sources.raw_files import RawFiles, TooLarge, Unreadable, shown
from vct.lab.errors import UserError

JSON = "dataset.json"
MAX_JSON_BYTES = 2**28
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Labels:
    """A label for each image, int64 (N,), -1 where data have none; and the number of classes.

    Args:
        names: of the classes, where they have any.
    """

    values: np.ndarray
    classes: int
    names: list[str] = field(default_factory=list)


def without(count: int) -> Labels:
    """No labels."""
    return Labels(np.full(count, -1, dtype=np.int64), 0)


def from_folders(path: Path, names: Sequence[str], depth: int) -> Labels:
    """The folder at `depth` in each image's name is its class; classes are numbered by name.

    Raises:
        UserError: if an image lies in no such folder, or all lie in one.
    """
    folders = []
    for name in names:
        parts = name.split("/")
        if len(parts) < depth + 2:
            raise UserError(
                f"{path}: {shown(name)} lies in no class folder, as 'labels: folders' wants it; "
                "move it to one, or take 'labels: none' for data without classes."
            )
        folders.append(parts[depth])
    classes = sorted(set(folders))
    if len(classes) < 2:
        raise UserError(
            f"{path}: all images lie in one folder, '{shown(classes[0])}', which makes no classes; "
            "take 'labels: none', or move the class folders up."
        )
    number = {name: index for index, name in enumerate(classes)}
    values = np.fromiter((number[folder] for folder in folders), np.int64, len(folders))
    return Labels(values, len(classes), classes)


def from_json(files: RawFiles, names: Sequence[str]) -> Labels:
    """The labels of `dataset.json` as EDM's dataset tool writes it, beside the images:
    `{"labels": [["00000/img00000000.png", 6], ...]}`.

    Raises:
        UserError: if the file is missing or has another form, or an image has no label in it.
    """
    file = files.path / JSON
    by_name = _read(files)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UserError(
            f"{file} has no label for {len(missing)} of {len(names)} images, such as "
            f"{shown(missing[0])}; add them."
        )
    if len(by_name) > len(names):
        absent = min(by_name.keys() - set(names))
        raise UserError(
            f"{file} names {len(by_name) - len(names)} images that are not there, such as "
            f"{shown(absent)}; copy the images again."
        )
    values = np.fromiter((by_name[name] for name in names), np.int64, len(names))
    return Labels(values, int(values.max()) + 1)


def _read(files: RawFiles) -> dict[str, int]:
    file = files.path / JSON
    try:
        content = json.loads(files.read(JSON, MAX_JSON_BYTES))
    except (Unreadable, TooLarge, ValueError, RecursionError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); 'labels: json' needs it (take 'labels: none' for "
            "data without classes)."
        ) from None
    pairs = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(pairs, list) or not pairs:
        raise UserError(
            f"{file} holds no list of labels; with 'labels: json' it is "
            '{"labels": [["00000/img00000000.png", 6], ...]}.'
        )
    by_name = {}
    for pair in pairs:
        name, label = _checked(pair, file)
        by_name[name] = label
    return by_name


def _checked(pair: Any, file: Path) -> tuple[str, int]:
    if isinstance(pair, list) and len(pair) == 2:
        name, label = pair
        whole = isinstance(label, int) and not isinstance(label, bool)
        if isinstance(name, str) and whole and 0 <= label < MAX_CLASSES:
            return name, label
    raise UserError(
        f"{file}: {json.dumps(pair)[:100]} is no pair of a file's name and the number of its class "
        f"(0 to {MAX_CLASSES - 1})."
    )
