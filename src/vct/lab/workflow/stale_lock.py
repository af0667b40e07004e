"""Whether the lock that Snakemake finds on the folder is that of a Snakemake that was killed.

Snakemake's lock files outlive a SIGKILL and name no process. So each Snakemake that reads our
Snakefile also holds a shared flock, which the system frees however the process ends. Who can get it
alone has found no other Snakemake alive: lock files that are there now belong to none. (filelock's
locks are exclusive, and its ReadWriteLock cannot pass from one holder to many without a gap.)
"""

import fcntl
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_HELD: list[TextIO] = []
"""Open until the process ends; not inherited by the jobs, which may outlive it."""


def clear(folder: Path = Path(".snakemake")) -> None:
    """Remove lock files that no living Snakemake owns; say from now on that this one lives.

    Where flock cannot be had, or may not reach the owner, Snakemake's lock stays what it was: lock
    files are removed only on the host of the last run that began without any.
    """
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        stream = (folder / "alive").open("a+", encoding="utf-8")
        _HELD.append(stream)
        if _alone(stream):
            _remove_files(folder / "locks", stream)
        fcntl.flock(stream, fcntl.LOCK_SH)


def _alone(stream: TextIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_files(locks: Path, stream: TextIO) -> None:
    stream.seek(0)
    host, here = stream.read(), socket.gethostname()
    found = list(locks.glob("*.lock"))
    if found and host == here:
        for file in found:
            file.unlink()
        print("a Snakemake that was killed had locked this folder; unlocked", file=sys.stderr)
    if not found and host != here:
        stream.truncate(0)
        stream.write(here)
        stream.flush()
