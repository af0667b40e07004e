"""One training at a time for each run."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from vct.lab.errors import UserError


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a state folder; the system frees it however the process ends.

    Raises:
        UserError: if another process holds it; the message names process, host and start.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; make the folder writable."
        ) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder} is in use: {_holder(path)}; wait for it or stop it."
            ) from None
        except OSError as error:
            raise UserError(
                f"{path} cannot be locked ({error.strerror}); keep the project on a file system "
                "that has flock."
            ) from None
        _sign(stream)
        yield


def _sign(stream: TextIO) -> None:
    stream.seek(0)
    stream.truncate()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    json.dump({"pid": os.getpid(), "host": socket.gethostname(), "start": started}, stream)
    stream.flush()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']} has trained it since {holder['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process trains it"
