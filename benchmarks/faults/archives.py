"""Archives packed in other ways: the images are those of the folder, or there is one sentence."""

import io
import json
import random
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from faults import encoders
from faults.makings import REFUSED, STORED, Different, by_content, made, try_each
from vct.lab.errors import UserError

LITTER = (
    *("__MACOSX/train/cat/._0.png", ".DS_Store", "train/cat/.DS_Store", "train/cat/Thumbs.db"),
    *("@eaDir/0.png", "train/@eaDir/0.png", "train/#recycle/0.png", "notes.txt"),
)
HOSTILE = ("../out.png", "train/cat/../../../out.png", "/out.png", "\\out.png", "a\\..\\b.png")
CLASSES = ("cat", "dog", "owl")
WAYS = ("plain", "dot", "backslash", "double", "folders", "duplicate", "clash", "hostile", "cut")


def try_all(folder: Path, count: int) -> tuple[Counter[str], list[str]]:
    """Make so many data sets of archives."""
    return try_each(folder, count, "archive", trial)


def trial(draw: random.Random) -> str:
    """An archive packed in one to three of the ways."""
    files, truth, named = {}, {}, {}
    for number in range(draw.randint(6, 12)):
        pixels = np.random.default_rng(number + 1).integers(0, 256, (4, 4, 3))
        split, label = ("train", "test")[number % 2], number // 2 % 3
        name = f"{split}/{CLASSES[label]}/{number}.png"
        files[name] = encoders.png(pixels, encoders.RGB)
        named[name] = split, label
        truth[pixels.transpose(2, 0, 1).astype(np.uint8).tobytes()] = split, label
    kind = draw.choice(["folders", "json"])
    ways = draw.sample(WAYS, draw.randint(1, 3))
    if kind == "json":
        labels = [(spelled(name, ways, draw), label) for name, (_, label) in named.items()]
        files["dataset.json"] = json.dumps({"labels": labels}).encode()
    wrong = {"clash", "hostile", "cut"} & set(ways)
    try:
        found = by_content(made(packed(files, ways, draw), labels=kind))
    except UserError as error:
        if "\n" in str(error) or not wrong:
            raise Different(f"{kind}, {ways} is good and refused: {error}") from None
        return REFUSED
    if wrong or found != truth:
        raise Different(f"{kind}, {ways} is stored as {sorted(found.values())}")
    return STORED


def packed(files: dict[str, bytes], ways: list[str], draw: random.Random) -> bytes:
    """The files as an archive, packed in these ways."""
    entries = [(spelled(name, ways, draw), content) for name, content in files.items()]
    entries += [(litter, b"litter") for litter in draw.sample(LITTER, draw.randint(0, 4))]
    name, content = draw.choice(list(files.items()))
    if "duplicate" in ways:
        entries.append((name, content))
    if "clash" in ways:
        entries.append((draw.choice(["", "./"]) + name, content + b" "))
    if "hostile" in ways:
        entries.append((draw.choice(HOSTILE), content))
    if "folders" in ways:
        entries += [(folder, b"") for folder in ("train/", "test\\", "./train/cat/")]
    draw.shuffle(entries)
    stream, method = io.BytesIO(), draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for entry, content in entries:
            archive.writestr(entry, content)
    whole = stream.getvalue()
    return whole[: draw.randrange(len(whole) - 1)] if "cut" in ways else whole


def spelled(name: str, ways: list[str], draw: random.Random) -> str:
    """A name as some archivers write it."""
    if "dot" in ways:
        name = f"./{name}"
    if "double" in ways and draw.random() < 0.3:
        name = name.replace("/", "//")
    return name.replace("/", "\\") if "backslash" in ways else name
