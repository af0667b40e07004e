"""Kill trainings by SIGKILL at random moments, start them again, and compare what they leave."""

import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from faults import killing
from faults.variants import Variant, fingerprint

SAMPLES = ("samples.npz",)


@dataclass(frozen=True)
class Reference:
    """An undisturbed training: its files, its seconds, how often it touches a file."""

    files: dict[str, str]
    seconds: float
    operations: int


@dataclass(frozen=True)
class Trial:
    """A training that was killed `kills` times; whether it ended the same; what it was told."""

    variant: Variant
    kills: int
    identical: bool
    output: str


def reference(project: Path, variant: Variant, folder: Path) -> Reference:
    """Train and sample once, undisturbed, in a copy of `project`."""
    shutil.copytree(project, folder)
    begin = time.monotonic()
    code, operations = killing.run(folder, "train", str(variant.run))
    seconds = time.monotonic() - begin
    assert code == 0, killing.text(folder)
    _sample(folder, variant)
    return Reference(fingerprint(folder, variant.run, SAMPLES), seconds, operations)


def trial(
    project: Path, variant: Variant, folder: Path, expected: Reference, kills: int, seed: int
) -> Trial:
    """Kill a training `kills` times, each time at another moment, then let it finish.

    Every second kill is before a random operation on a file (most are those of a checkpoint), the
    others after a random time.
    """
    shutil.copytree(project, folder)
    draw = random.Random(seed)
    killed = 0
    for attempt in range(20 * kills):
        if killed == kills:
            break
        if (seed + attempt) % 2:
            moment = {"at": draw.randint(1, expected.operations)}
        else:
            moment = {"after": draw.uniform(0.05, expected.seconds)}
        code, _ = killing.run(folder, "train", str(variant.run), **moment)
        killed += code == -9
    code, _ = killing.run(folder, "train", str(variant.run))
    output = killing.text(folder)
    if code:
        return Trial(variant, killed, False, output)
    _sample(folder, variant)
    same = fingerprint(folder, variant.run, SAMPLES) == expected.files
    return Trial(variant, killed, same, output)


def _sample(folder: Path, variant: Variant) -> None:
    code, _ = killing.run(folder, "sample", str(variant.run))
    assert code == 0, killing.text(folder)
