"""Faults around one training: damaged files, full disks, missing rights, signals, a second owner.

Each fault is a function of a fresh copy of the project and the files of an undisturbed training; it
returns what went wrong, or nothing.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from faults import killing
from faults.kills import Reference
from faults.variants import Variant, fingerprint

Fault = Callable[[Path, Variant, Reference], str]
NOBODY = 65534


def _ends_alike(folder: Path, variant: Variant, expected: Reference) -> str:
    """Start the training again; complain unless it ends like the undisturbed one."""
    code, _ = killing.run(folder, "train", str(variant.run))
    if code:
        return f"the rerun ended with {code}: {killing.text(folder)[-300:]}"
    code, _ = killing.run(folder, "sample", str(variant.run))
    same = code == 0 and fingerprint(folder, variant.run) == expected.files
    return "" if same else "the rerun ended differently"


def _refused(folder: Path, code: int, *words: str) -> str:
    """Complain unless the command ended with code 2 and one sentence with `words`."""
    text = killing.text(folder)
    if code != 2 or "Traceback" in text:
        return f"exit code {code}: {text[-300:]}"
    missing = [word for word in words if word not in text]
    return f"the message lacks {missing}: {text[-300:]}" if missing else ""


def _interrupt(folder: Path, variant: Variant, expected: Reference) -> list[Path]:
    """Kill a training that has two checkpoints; return them, oldest first."""
    for share in (0.6, 0.7, 0.8, 0.5, 0.4):
        killing.run(folder, "train", str(variant.run), at=int(expected.operations * share))
        files = sorted((folder / variant.run.state).glob("checkpoint-*.ckpt"))
        if len(files) == 2:
            return files
    raise AssertionError("no moment with two checkpoints was found")


def truncated_checkpoint(folder: Path, variant: Variant, expected: Reference) -> str:
    """The newest checkpoint is cut."""
    newest = _interrupt(folder, variant, expected)[-1]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    problem = _ends_alike(folder, variant, expected)
    return problem or ("" if "is damaged" in killing.text(folder) else "no warning")


def flipped_bits(folder: Path, variant: Variant, expected: Reference) -> str:
    """One bit of the newest checkpoint is flipped."""
    newest = _interrupt(folder, variant, expected)[-1]
    content = bytearray(newest.read_bytes())
    content[random.Random(0).randrange(len(content))] ^= 16
    newest.write_bytes(content)
    problem = _ends_alike(folder, variant, expected)
    return problem or ("" if "is damaged" in killing.text(folder) else "no warning")


def all_checkpoints_damaged(folder: Path, variant: Variant, expected: Reference) -> str:
    """Both checkpoints are cut: the training must stop rather than start anew in silence."""
    for file in _interrupt(folder, variant, expected):
        file.write_bytes(file.read_bytes()[:-1])
    code, _ = killing.run(folder, "train", str(variant.run))
    problem = _refused(folder, code, "no checkpoint", "--fresh")
    if problem:
        return problem
    killing.run(folder, "train", str(variant.run), "--fresh")
    aside = list((folder / variant.run.state).parent.glob("*.old*/checkpoint-*"))
    return _ends_alike(folder, variant, expected) if aside else "nothing was moved aside"


def foreign_checkpoint(folder: Path, variant: Variant, expected: Reference) -> str:
    """The settings change while a checkpoint waits."""
    _interrupt(folder, variant, expected)
    params = folder / "params.yaml"
    old = params.read_text()
    params.write_text(old.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    code, _ = killing.run(folder, "train", str(variant.run))
    params.write_text(old)
    problem = _refused(folder, code, "learning_rate", "0.01", "0.02", "--fresh")
    return problem or _ends_alike(folder, variant, expected)


def torn_log(folder: Path, variant: Variant, expected: Reference) -> str:
    """The log of metrics ends in the middle of a line."""
    _interrupt(folder, variant, expected)
    log = folder / variant.run.state / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-7])
    return _ends_alike(folder, variant, expected)


def signalled(number: int, code: int) -> Fault:
    """A fault: the signal arrives in the middle."""

    def fault(folder: Path, variant: Variant, expected: Reference) -> str:
        half = expected.operations // 2
        found, _ = killing.run(folder, "train", str(variant.run), at=half, number=number)
        if found != code or "goes on there" not in killing.text(folder):
            return f"exit code {found}: {killing.text(folder)[-300:]}"
        return _ends_alike(folder, variant, expected)

    return fault


def second_owner(folder: Path, variant: Variant, expected: Reference) -> str:
    """The same training is started twice."""
    stopped, _ = killing.start(
        folder, "train", str(variant.run), at=expected.operations // 2, number=signal.SIGSTOP
    )
    deadline = time.monotonic() + 60
    while _state_of(stopped.pid) != "T" and time.monotonic() < deadline:
        time.sleep(0.05)
    code, _ = killing.run(folder, "train", str(variant.run))
    problem = _refused(folder, code, "is in use", str(stopped.pid))
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.join()
    return problem or _ends_alike(folder, variant, expected)


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def become_nobody() -> None:
    """Give up the rights of root, which may write anywhere."""
    b"x".decode("utf-8-sig")  # loads a module, which the new user may not be allowed to read
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def no_permission(folder: Path, variant: Variant, expected: Reference) -> str:
    """The project belongs to someone else."""
    if os.geteuid() != 0:
        return "not tried: needs root"
    folder.chmod(0o755)
    code, _ = killing.run(folder, "train", str(variant.run), before=become_nobody)
    problem = _refused(folder, code, "Permission denied")
    return problem or _ends_alike(folder, variant, expected)


def limit_memory() -> None:
    """Allow 64 MiB more than what is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**26
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def no_memory(folder: Path, variant: Variant, expected: Reference) -> str:
    """Memory is exhausted in a step."""
    params = folder / "params.yaml"
    old = params.read_text()
    params.write_text(old.replace("width: 16", "width: 16384"))
    code, _ = killing.run(folder, "train", str(variant.run), before=limit_memory)
    params.write_text(old)
    problem = _refused(folder, code, "memory")
    return problem or _ends_alike(folder, variant, expected)


def full_disk(folder: Path, variant: Variant, expected: Reference) -> str:
    """The disk is full at several moments of the training, then there is room again."""
    with _Disk(folder) as disk:
        if disk is None:
            return "not tried: no disk can be mounted here"
        for room in (0, 4096, 40_000, 80_000, 100_000, 130_000, 160_000, 200_000):
            filler = disk / "filler"
            _fill(filler, disk, room)
            code, _ = killing.run(disk, "train", str(variant.run))
            problem = _refused(disk, code, "No space left") if code else ""
            filler.unlink()
            if problem:
                return f"with {room} bytes: {problem}"
        return _ends_alike(disk, variant, expected)


def read_only_disk(folder: Path, variant: Variant, expected: Reference) -> str:
    """The project is on a disk that became read-only."""
    with _Disk(folder) as disk:
        if disk is None:
            return "not tried: no disk can be mounted here"
        _interrupt(disk, variant, expected)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code, _ = killing.run(disk, "train", str(variant.run))
        problem = _refused(disk, code, "Read-only")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        return problem or _ends_alike(disk, variant, expected)


def _fill(filler: Path, disk: Path, room: int) -> None:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(bytes(max(0, free - room)))


class _Disk:
    """A small disk with a copy of the project; None where none can be mounted."""

    def __init__(self, project: Path) -> None:
        self.project, self.path = project, project.with_name(f"{project.name}-disk")

    def __enter__(self) -> Path | None:
        self.path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", self.path]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        shutil.copytree(self.project, self.path, dirs_exist_ok=True)
        return self.path

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", self.path], capture_output=True)


FAULTS: dict[str, Fault] = {
    "newest checkpoint truncated": truncated_checkpoint,
    "newest checkpoint with a flipped bit": flipped_bits,
    "all checkpoints damaged": all_checkpoints_damaged,
    "checkpoint of other settings": foreign_checkpoint,
    "log torn in a line": torn_log,
    "SIGTERM": signalled(signal.SIGTERM, 143),
    "Ctrl-C": signalled(signal.SIGINT, 130),
    "second training of one run": second_owner,
    "folder of another user": no_permission,
    "memory exhausted": no_memory,
    "disk full at eight moments": full_disk,
    "disk became read-only": read_only_disk,
}
