"""Locks that the system frees however their holder ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from vct.lab.errors import UserError


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`.

    Raises:
        BlockingIOError: if another holds it and `wait` is false.
        UserError: if it cannot be made or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Its fallback for file systems without flock outlives a killed holder.
        held = FileLock(path, fallback_to_soft=False).acquire(blocking=wait)
    except Timeout:
        raise BlockingIOError(f"{path} is held") from None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; make the folder writable, on a file system "
            "that has flock."
        ) from None
    with held:
        yield


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a state folder, in which one process at a time makes something.

    Raises:
        UserError: if another process holds it; the message names process, host and start.
    """
    path = folder / "lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, wait=False))
        except BlockingIOError:
            holder = path.read_text(errors="replace") or "another process holds it"
            raise UserError(f"{folder} is in use: {holder}; wait for it or stop it.") from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        who = f"process {os.getpid()} on {socket.gethostname()}"
        path.write_text(f"{who} has held it since {since}")
        yield
