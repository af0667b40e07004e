"""Kill trainings by SIGKILL at random moments, start them again, and compare what they leave."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import killing, variants
from faults.variants import Variant, fingerprint

AHEAD = (0, 2, 5)
"""Batches that are read ahead by a thread, in the attempts of a training in turn."""


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
    variants.copy(project, folder, variant)
    begin = time.monotonic()
    code, operations = _train(folder, variant)
    seconds = time.monotonic() - begin
    assert code == 0, killing.text(folder)
    _sample(folder, variant)
    return Reference(fingerprint(folder, variant.run), seconds, operations)


def trial(
    project: Path, variant: Variant, folder: Path, expected: Reference, kills: int, seed: int
) -> Trial:
    """Kill a training `kills` times, each time at another moment, then let it finish.

    Every second kill is before a random operation on a file (most are those of a checkpoint), the
    others after a random time. Of several processes, one is killed. No attempt reads as many
    batches ahead as the one before.
    """
    variants.copy(project, folder, variant)
    draw = random.Random(seed)
    killed = attempt = 0
    while killed < kills and attempt < 20 * kills:
        attempt += 1
        variants.set_runtime(folder, prefetch=AHEAD[(seed + attempt) % len(AHEAD)])
        if (seed + attempt) % 2:
            moment = {"at": draw.randint(1, expected.operations)}
        else:
            moment = {"after": draw.uniform(0.05, expected.seconds)}
        code, _ = _train(folder, variant, **moment)
        killed += code == -9
    code, _ = _train(folder, variant)
    output = killing.text(folder)
    if code:
        return Trial(variant, killed, False, output)
    _sample(folder, variant)
    same = fingerprint(folder, variant.run) == expected.files
    return Trial(variant, killed, same, output)


def _train(folder: Path, variant: Variant, **moment: Any) -> tuple[int, int]:
    """Exit code, and number of file operations."""
    command = ("train", str(variant.run))
    if variant.processes == 1:
        return killing.run(folder, *command, **moment)
    # Only the first process writes.
    victim = 0 if "at" in moment else variant.processes - 1
    return killing.run_group(folder, variant.processes, *command, victim=victim, **moment)


def _sample(folder: Path, variant: Variant) -> None:
    code, _ = killing.run(folder, "sample", str(variant.run))
    assert code == 0, killing.text(folder)
