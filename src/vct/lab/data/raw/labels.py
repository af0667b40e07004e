"""Class labels of the images of a folder: from the names of folders, or from dataset.json."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vct.lab.data.raw.files import RawFiles, TooLarge, Unreadable, shown
from vct.lab.data.raw.images import SUFFIXES
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
        return _from_folders(files, names, depth)
    if kind == "json":
        return _from_json(files, names)
    return Labels(np.full(len(names), -1, dtype=np.int64), 0)


def _from_folders(files: RawFiles, names: Sequence[str], depth: int) -> Labels:
    folders, path = [], files.path
    for name in names:
        parts = name.split("/")
        if len(parts) < depth + 2:
            raise UserError(
                f"{path}: {shown(name)} lies in no class folder, as 'labels: folders' wants it; "
                "move it to one, or take 'labels: none' for data without classes."
            )
        folders.append(parts[depth])
    _check_folders(files, names, depth)
    classes = sorted(set(folders))
    if len(classes) < 2:
        raise UserError(
            f"{path}: all images lie in one folder, '{shown(classes[0])}', which makes no classes; "
            "take 'labels: none', or move the class folders up."
        )
    number = {name: index for index, name in enumerate(classes)}
    values = np.fromiter((number[folder] for folder in folders), np.int64, len(folders))
    return Labels(values, len(classes), classes)


def _check_folders(files: RawFiles, names: Sequence[str], depth: int) -> None:
    """Refuse a class folder without images: those after it would be numbered otherwise."""
    filled = {"/".join(name.split("/")[: depth + 1]) for name in names}
    for folder in files.listing.folders:
        if folder.count("/") == depth and folder not in filled:
            inside = [name for name in files.listing.names if name.startswith(f"{folder}/")]
            such = f" (it holds {shown(inside[0])})" if inside else ""
            raise UserError(
                f"{files.path}: the class folder '{shown(folder)}' holds no image that can be "
                f"read{such}; put images there ({', '.join(SUFFIXES)}), or remove the folder."
            )


class _DatasetJson(BaseModel):
    """`dataset.json` as EDM's dataset tool writes it; other keys are left alone."""

    model_config = ConfigDict(strict=True)

    labels: Annotated[
        list[tuple[str, Annotated[int, Field(ge=0, lt=MAX_CLASSES)]]], Field(min_length=1)
    ]


def _from_json(files: RawFiles, names: Sequence[str]) -> Labels:
    file, known = files.path / JSON, set(names)
    try:
        content = _DatasetJson.model_validate_json(files.read(JSON, MAX_JSON_BYTES))
    except (Unreadable, TooLarge, ValidationError) as error:
        why = problem(error) if isinstance(error, ValidationError) else error
        elsewhere = [name for name in files.listing.names if name.endswith(f"/{JSON}")]
        if elsewhere and JSON not in files.listing.names:
            raise UserError(
                f"{file} is missing; there is {shown(elsewhere[0])}: move what lies beside it up, "
                "so that its names fit, or take 'labels: none'."
            ) from None
        raise UserError(
            f"{file} cannot be used ({why}); with 'labels: json' it is "
            '{"labels": [["00000/img00000000.png", 6], ...]}, and data without classes have '
            "'labels: none'."
        ) from None
    by_name = _by_name(file, content.labels, known)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UserError(
            f"{file} has no label for {len(missing)} of {len(names)} images, such as "
            f"{shown(missing[0])}; add them."
        )
    if absent := by_name.keys() - known:
        raise UserError(f"{file} names {len(absent)} images {_why_absent(files, absent)}")
    values = np.fromiter((by_name[name] for name in names), np.int64, len(names))
    return Labels(values, int(values.max()) + 1)


def _by_name(
    file: Path, labels: Sequence[tuple[str, int]], images: AbstractSet[str]
) -> dict[str, int]:
    """Labels by the names of images; those of the file may have `./` or backslashes."""
    found: dict[str, int] = {}
    for given, label in labels:
        parts = given.replace("\\", "/").split("/")
        plain = "/".join(part for part in parts if part not in ("", "."))
        name = given if given in images else plain
        if found.setdefault(name, label) != label:
            raise UserError(
                f"{file} labels {shown(given)} twice, as {found[name]} and {label}; keep the "
                "right one."
            )
    return found


def _why_absent(files: RawFiles, absent: AbstractSet[str]) -> str:
    if left_out := absent & set(files.listing.names):
        return (
            f"of which {len(left_out)} cannot be read, such as {shown(min(left_out))}; convert "
            f"them to one of {', '.join(SUFFIXES)}."
        )
    return f"that are not there, such as {shown(min(absent))}; copy the images again."
