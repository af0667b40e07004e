"""Data sets made of odd raw files, one after another, each compared with what it should be."""

import contextlib
import io
import os
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vct.lab import build
from vct.lab.data import dataset
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.settings.data import ImageFolderSettings

RAW = Path("data/raw")
STORED, REFUSED = "stored as it should be", "refused in one sentence"


class Different(Exception):
    """Something was accepted, and is not what it should be; or was refused, and was good."""


def made(files: dict[str, bytes] | bytes, **options: Any) -> Dataset:
    """The data set of raw files in a folder, or of an archive, read as `options` say.

    Raises:
        UserError: if they are refused.
    """
    shutil.rmtree("data", ignore_errors=True)
    raw = "x.zip" if isinstance(files, bytes) else "x"
    if isinstance(files, bytes):
        RAW.mkdir(parents=True)
        (RAW / raw).write_bytes(files)
    else:
        put(files, RAW / raw)
    given = {"source": "image_folder", "raw": raw, "test": "own", **options}
    settings = ImageFolderSettings.model_validate(given)
    with contextlib.redirect_stderr(io.StringIO()):
        dataset.write("made", build.instantiate(settings), settings.model_dump(mode="json"))
        return dataset.load("made")


def put(files: dict[str, bytes], path: Path) -> None:
    """Files below a folder."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def by_content(data: Dataset) -> dict[bytes, tuple[str, int]]:
    """Split and label of each image, by its pixels."""
    return {
        np.asarray(image).tobytes(): (name, int(label))
        for name, split in (("train", data.train), ("test", data.test))
        for image, label in zip(split.x, split.labels, strict=True)
    }


def try_each(
    folder: Path, count: int, name: str, trial: Callable[[random.Random], str]
) -> tuple[Counter[str], list[str]]:
    """Try so many; return how each ended, and in words those that should not have ended so.

    Args:
        trial: is given its random numbers; returns STORED or REFUSED, or raises `Different`.
    """
    outcomes, bad = Counter[str](), []
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        for number in range(count):
            outcome, detail = _outcome(trial, random.Random(f"{name} {number}"))
            outcomes[outcome] += 1
            bad += [f"{name} {number}: {detail}"] if detail else []
    finally:
        os.chdir(before)
    return outcomes, bad


def _outcome(trial: Callable[[random.Random], str], draw: random.Random) -> tuple[str, str]:
    try:
        return trial(draw), ""
    except Different as difference:
        return "silent difference", str(difference)
    except UserError as error:
        return "refused otherwise", f"a good one is refused: {error}"
    except Exception:
        return "traceback", " ".join(traceback.format_exc().splitlines()[-3:])
