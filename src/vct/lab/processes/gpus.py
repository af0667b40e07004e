"""Which GPUs a process takes, where nobody assigned it any.

Snakemake counts GPUs and does not say which. So a stage claims as many as `runtime.gpus` says among
those it sees, by locks on files of this machine, which the system frees however a process ends.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

from vct.lab.errors import UserError
from vct.lab.files.locks import locked
from vct.lab.settings.runtime import RuntimeSettings

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")
POLL = 1.0
"""Seconds between two looks at devices that others hold."""


@contextmanager
def claimed(runtime: RuntimeSettings) -> Iterator[tuple[int, ...]]:
    """Show `runtime.gpus` devices that no other stage has claimed to CUDA, and no others.

    It waits until so many are free at once, and takes none before. To be entered before CUDA is
    first used. Nothing is claimed with `gpus: 0`, or where `runtime.device` is the CPU or names the
    GPU. Yields file descriptors: the devices are taken while any process has these open.

    Raises:
        UserError: if fewer devices are visible, or the locks cannot be kept.
    """
    if not runtime.gpus or runtime.device not in ("auto", "cuda"):
        yield ()
        return
    devices = visible()
    if len(devices) < runtime.gpus:
        raise UserError(
            f"runtime.gpus: {runtime.gpus} GPUs are asked for, but {len(devices)} can be seen "
            f"here; lower it, list more in {VISIBLE}, or use device: cpu."
        )
    before = os.environ.get(VISIBLE)
    taken = _wait(devices, runtime.gpus)
    try:
        os.environ[VISIBLE] = ",".join(taken)
        yield tuple(taken.values())
    finally:
        _free(taken)
        os.environ.pop(VISIBLE)
        if before is not None:
            os.environ[VISIBLE] = before


def visible() -> list[str]:
    """The devices that CUDA would show: those of CUDA_VISIBLE_DEVICES, or all of this machine."""
    listed = os.environ.get(VISIBLE)
    if listed is None:
        # Another process counts: CUDA does not look at the variable a second time.
        count = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
        found = subprocess.run(count, stdout=subprocess.PIPE, text=True)
        if found.returncode:
            raise UserError(
                "the GPUs of this machine cannot be counted (above: why); list those to use in "
                f"{VISIBLE}, or set runtime.device to cpu."
            )
        return [str(index) for index in range(int(found.stdout))]
    devices: list[str] = []
    for name in map(str.strip, listed.split(",")):
        if not DEVICE.fullmatch(name) or name in devices:
            break  # as CUDA does: what follows is not seen
        devices.append(name)
    return devices


def _wait(devices: list[str], count: int) -> dict[str, int]:
    """Claim `count` of `devices`; say so once if that takes time. Locks by device."""
    folder = _folder()
    told = False
    while True:
        # One looks at a time: two that need several could keep each other from them for ever.
        with locked(folder / "turn"):
            taken = _free_ones(folder, devices, count)
        if len(taken) == count:
            return taken
        _free(taken)
        if not told:
            print(
                f"vct: waits for GPUs: {count} wanted, {len(taken)} of {len(devices)} free.",
                file=sys.stderr,
                flush=True,
            )
            told = True
        time.sleep(POLL)


def _free_ones(folder: Path, devices: list[str], count: int) -> dict[str, int]:
    """Locks of at most `count` of the devices that nobody holds."""
    taken: dict[str, int] = {}
    for device in devices:
        if len(taken) < count:
            # A FileLock would keep its descriptor to itself, and processes of a group inherit it.
            lock = os.open(folder / device.replace("/", "_"), os.O_RDWR | os.O_CREAT, 0o600)
            if lock_descriptor(lock, blocking=False):
                taken[device] = lock
            else:
                os.close(lock)
    return taken


def _free(taken: dict[str, int]) -> None:
    for lock in taken.values():
        os.close(lock)


def _folder() -> Path:
    """Where the locks are: one place for all stages of a user on this machine.

    Inside a Slurm job its own place: two jobs may number different devices alike, while stages
    that run side by side in one allocation share what it lists.
    """
    folder = Path(tempfile.gettempdir()) / f"vct-devices-{os.getuid()}"
    if job := os.environ.get("SLURM_JOB_ID"):
        folder /= f"job{job}.{os.environ.get('SLURM_STEP_ID', '')}"
    with suppress(OSError):  # told when the first lock is made there
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
