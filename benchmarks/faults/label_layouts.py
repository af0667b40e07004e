"""Class labels with gaps, from 1, in one split alone, cut by limits: every image keeps its own, no
class is lost or renumbered, and a conditional training takes none without training images."""

import json
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from faults import encoders
from faults.makings import REFUSED, STORED, Different, by_content, made, try_each
from vct.lab import build
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.settings.train import TrainSettings

LITTER = (
    *("@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/old.png", "lost+found/1.png", ".git/a.png"),
    *("__MACOSX/cat/._0.png", ".Trashes/1.png", ".ipynb_checkpoints/0-checkpoint.png", ".DS_Store"),
    *("System Volume Information/a.png", "$RECYCLE.BIN/b.png", ".AppleDouble/0.png", "Thumbs.db"),
)
NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "Gnu", "hen 2", "ibis.old")


def try_all(folder: Path, count: int) -> tuple[Counter[str], list[str]]:
    """Make so many data sets, and ask for a conditional training of each."""
    return try_each(folder, count, "labels", trial)


def trial(draw: random.Random) -> str:
    """Some images with labels, in one of all layouts."""
    kind, own = draw.choice(["folders", "json"]), draw.random() < 0.4
    wanted = _labels(draw, kind, own)
    files, truth = {}, {}
    for number, (split, label) in enumerate(wanted):
        pixels = np.random.default_rng(number + 1).integers(0, 256, (4, 4, 3))
        folder = NAMES[label] if kind == "folders" else draw.choice(["00000", "00001"])
        top = f"{split}/" if own else ""
        name = f"{top}{folder}/{number}.png"
        files[name] = encoders.png(pixels, encoders.RGB)
        truth[pixels.transpose(2, 0, 1).astype(np.uint8).tobytes()] = (name, split, label)
    wrong = _spoil(draw, kind, own, files, truth)
    options = _options(draw, own, len(wanted))
    words = f"{kind}, {[label for _, label in wanted]}, own {own}, {options}, {wrong}"
    numbers = _numbers(kind, [label for _, label in wanted])
    try:
        data = made(files, labels=kind, **options)
    except UserError as error:
        if "\n" in str(error) or not (wrong or _may_refuse(wanted, numbers, own, options)):
            raise Different(f"{words} is good and refused: {error}") from None
        return REFUSED
    if wrong:
        raise Different(f"{words} is accepted")
    _compare(words, data, truth, numbers, own, options)
    return STORED


def _labels(draw: random.Random, kind: str, own: bool) -> list[tuple[str, int]]:
    """Split and label of each image: some labels have gaps, begin at 1, or are in one split."""
    count = draw.randint(2, 6)
    chosen = draw.choice(
        [list(range(count)), list(range(1, count + 1)), sorted(draw.sample(range(9), count))]
    )
    found = []
    for label in chosen:
        splits = draw.choice([["train", "test"]] * 4 + [["test"], ["train"]])
        found += [(draw.choice(splits), label) for _ in range(draw.choice([1, 2, 5, 9]))]
    while own and {split for split, _ in found} != {"train", "test"}:
        found += [(draw.choice(["train", "test"]), draw.choice(chosen))]
    while len(found) < 4:
        found.append(("train", chosen[0]))
    return found


def _numbers(kind: str, labels: list[int]) -> dict[int, int]:
    """The number that is stored for each label: folders are numbered in the order of names."""
    if kind == "json":
        return {label: label for label in labels}
    present = sorted({NAMES[label] for label in labels})
    return {NAMES.index(name): number for number, name in enumerate(present)}


def _options(draw: random.Random, own: bool, count: int) -> dict[str, Any]:
    options: dict[str, Any] = {"seed": draw.randrange(5)}
    options["test"] = "own" if own else draw.randint(2, max(2, count - 2))
    if draw.random() < 0.5:
        least = 2 if own else options["test"] + 1
        options["limit"] = draw.randint(least, max(least, count))
    if draw.random() < 0.4:
        options["classes"] = draw.randint(2, 8)
    if draw.random() < 0.1:
        options["broken"] = "skip"
    return options


def _spoil(
    draw: random.Random, kind: str, own: bool, files: dict[str, bytes], truth: dict[bytes, Any]
) -> str:
    """Add dataset.json, what must make no difference, and perhaps what must be refused."""
    labels: list[list[Any]] = [[name, label] for name, _, label in truth.values()]
    wrong = ""
    top = draw.choice(["train/", "test/"]) if own else ""
    for litter in draw.sample(LITTER, draw.randint(0, 4)):
        files[draw.choice(["", top]) + litter] = draw.choice(list(files.values()))
    if draw.random() < 0.3:
        files[f"{top}notes.txt"] = b"hello"
    if kind == "folders" and draw.random() < 0.15:
        wrong = "a class of other files"
        files[f"{top}bat/0.{draw.choice(['jp2', 'npy', 'txt'])}"] = b"no image"
    if kind == "json":
        labels = [[draw.choice(["", "", "./"]) + name, label] for name, label in labels]
        if draw.random() < 0.2:
            name, label = draw.choice(labels)
            wrong = draw.choice(["", "two labels of one image"])
            labels.append([draw.choice(["", "./"]) + name, label + bool(wrong)])
        elif draw.random() < 0.1:
            wrong = draw.choice(["a label missing", "a label too many"])
            labels = labels[1:] if wrong == "a label missing" else [*labels, ["no.png", 0]]
        draw.shuffle(labels)
        files["dataset.json"] = json.dumps({"labels": labels}).encode()
    return wrong


def _may_refuse(
    wanted: list[tuple[str, int]], numbers: dict[int, int], own: bool, options: dict[str, Any]
) -> bool:
    """Whether there are too few images or folders, or other classes than `classes` says."""
    trained = {numbers[label] for split, label in wanted if split == "train" or not own}
    classes = max(numbers.values()) + 1
    other = "classes" in options and not options["classes"] == classes == len(trained)
    few = not own and options["test"] >= min(len(wanted), options.get("limit", len(wanted)))
    return few or other or len(numbers) == 1


def _compare(
    words: str,
    data: Dataset,
    truth: dict[bytes, Any],
    numbers: dict[int, int],
    own: bool,
    options: dict[str, Any],
) -> None:
    found = by_content(data)
    for content, (split, label) in found.items():
        _, meant, given = truth[content]
        if label != numbers[given] or (own and split != meant):
            raise Different(f"{words}: an image of {meant} {numbers[given]} is {split} {label}")
    parts = [sum(meant == split for _, meant, _ in truth.values()) for split in ("train", "test")]
    limit = options.get("limit", len(truth))
    expected = sum(min(part, limit) for part in parts) if own else min(len(truth), limit)
    if len(found) != expected or (not own and len(data.test.x) != options["test"]):
        raise Different(f"{words}: {len(data.train.x)} + {len(data.test.x)} images are stored")
    here = {numbers[label] for _, split, label in truth.values() if split == "train" or not own}
    trained = set(np.asarray(data.train.labels).tolist())
    if len(data.train.x) >= len(here) and trained != here:
        raise Different(f"{words}: {sorted(here - trained)} lost all training images")
    whole = trained == set(range(max(numbers.values()) + 1))
    if _takes(data) != whole or data.meta.classes != max(numbers.values()) + 1:
        raise Different(f"{words}: trained {sorted(trained)} of {data.meta.classes} conditionally")
    if options.get("classes", data.meta.classes) != data.meta.classes:
        raise Different(f"{words}: {data.meta.classes} classes are accepted")


def _takes(data: Dataset) -> bool:
    """Whether a conditional training takes the data."""
    train = cast(TrainSettings, SimpleNamespace(dataset=data.name))
    try:
        return bool(build._classes(train, data))
    except UserError:
        return False
