"""Class labels of the images of a folder: from the names of folders, or from dataset.json."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vct.lab.data.raw.files import RawFiles, TooLarge, Unreadable, shown
from vct.lab.errors import UserError
from vct.lab.records import problem

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


def read_labels(kind: str, files: RawFiles, names: Sequence[str], depth: int) -> Labels:
    """The labels of the images `names`.

    Args:
        kind: "folders": the folder at `depth` in an image's name is its class, numbered by name;
            "json": they are in `dataset.json` beside the images; "none": there are none.

    Raises:
        UserError: if an image has no label, or labels are not as they should be.
    """
    if kind == "folders":
        return _from_folders(files.path, names, depth)
    if kind == "json":
        return _from_json(files, names)
    return Labels(np.full(len(names), -1, dtype=np.int64), 0)


def _from_folders(path: Path, names: Sequence[str], depth: int) -> Labels:
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


class _DatasetJson(BaseModel):
    """`dataset.json` as EDM's dataset tool writes it; other keys are left alone."""

    model_config = ConfigDict(strict=True)

    labels: Annotated[
        list[tuple[str, Annotated[int, Field(ge=0, lt=MAX_CLASSES)]]], Field(min_length=1)
    ]


def _from_json(files: RawFiles, names: Sequence[str]) -> Labels:
    file = files.path / JSON
    try:
        content = _DatasetJson.model_validate_json(files.read(JSON, MAX_JSON_BYTES))
    except (Unreadable, TooLarge, ValidationError) as error:
        why = problem(error) if isinstance(error, ValidationError) else error
        raise UserError(
            f"{file} cannot be used ({why}); with 'labels: json' it is "
            '{"labels": [["00000/img00000000.png", 6], ...]}, and data without classes have '
            "'labels: none'."
        ) from None
    by_name = dict(content.labels)
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
