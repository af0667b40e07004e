"""`vct` in processes that get a signal at a chosen moment.

The processes are forked from a server that has torch loaded already, so that a kill costs about a
second instead of ten.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

_PRELOADED = [
    "torch._dynamo",
    "torch.distributed",
    "scipy.optimize",
    "vct.lab.commands.train",
    "vct.lab.commands.sample",
]
PATIENCE = 20.0
"""Seconds that the others of a group have to end once one was killed."""
_WRITING = os.O_WRONLY | os.O_RDWR
_FILE_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def context() -> ForkServerContext:
    """The server's context; the server starts with the first process."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(_PRELOADED)
    return found


class Fuse:
    """Counts what this process is about to write, rename or remove in its folder.

    Args:
        count: shared counter.
        limit: the operation before which the process signals itself; 0 is never.
        number: the signal.
    """

    def __init__(self, count: Any, limit: int, number: int) -> None:
        self.count, self.limit, self.number = count, limit, number

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._concerns(event, arguments):
            return
        self.count.value += 1
        if self.count.value == self.limit:
            os.kill(os.getpid(), self.number)

    @staticmethod
    def _concerns(event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and bool(flags & _WRITING)
        else:
            path, writes = (arguments[0] if arguments else None), event in _FILE_EVENTS
        if not writes or not isinstance(path, str | os.PathLike):
            return False
        absolute = Path(os.path.abspath(path))
        return absolute.is_relative_to(Path.cwd())


def _output(folder: Path) -> Path:
    """Beside the folder, which may become full or read-only."""
    return folder.with_name(f"{folder.name}.txt")


def text(folder: Path) -> str:
    """All that the commands in `folder` said."""
    return _output(folder).read_text()


def _run(
    folder: Path,
    arguments: list[str],
    count: Any,
    limit: int,
    number: int,
    before: Callable[[], None] | None,
    environment: dict[str, str],
) -> None:
    """In the child: run the command in `folder`."""
    os.environ.update(environment)
    output = os.open(_output(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.chdir(folder)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from vct.lab.cli import main

    if before:
        before()
    sys.addaudithook(Fuse(count, limit, number))
    sys.exit(main(arguments))


def start(
    folder: Path,
    *arguments: str,
    at: int = 0,
    number: int = signal.SIGKILL,
    before: Callable[[], None] | None = None,
    environment: dict[str, str] | None = None,
) -> tuple[Any, Any]:
    """Start `vct ARGUMENTS` in `folder`; return its process and its counter of file operations.

    Args:
        at: it gets a signal before this operation on a file; 0 is never.
        number: the signal.
        before: called in the process first; a function of a module.
        environment: added to that of the process.
    """
    server = context()
    count = server.Value("i", 0, lock=False)
    given = (folder, list(arguments), count, at, number, before, environment or {})
    process = server.Process(target=_run, args=given)
    process.start()
    return process, count


def run(folder: Path, *arguments: str, after: float = 0.0, **options: Any) -> tuple[int, int]:
    """Run `vct ARGUMENTS` in `folder`; return its exit code and its number of file operations.

    Args:
        after: kill it after so many seconds; 0 is never.
        options: of `start`.
    """
    process, count = start(folder, *arguments, **options)
    timer = threading.Timer(after, process.kill) if after else None
    if timer:
        timer.start()
    process.join()
    if timer:
        timer.cancel()
    return process.exitcode, count.value


def run_group(
    folder: Path, size: int, *arguments: str, victim: int = 0, at: int = 0, after: float = 0.0
) -> tuple[int, int]:
    """Run `vct ARGUMENTS` in `size` processes over gloo.

    Returns:
        The first exit code that is not 0, and the number of file operations of the first process.

    Args:
        victim: the process that is killed: before file operation `at`, or after so many seconds.
    """
    with tempfile.TemporaryDirectory() as store:
        members, counts = [], []
        for rank in range(size):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
            environment = {name: str(value) for name, value in place.items()}
            environment["VCT_STORE"] = f"{store}/file"
            limit = at if rank == victim else 0
            member, count = start(folder, *arguments, at=limit, environment=environment)
            members.append(member)
            counts.append(count)
        timer = threading.Timer(after, members[victim].kill) if after else None
        if timer:
            timer.start()
        members[victim].join()
        for member in members:
            # As `vct.lab.processes.launch` does: one that never met the others would wait for long.
            member.join(None if members[victim].exitcode == 0 else PATIENCE)
            member.kill()
            member.join()
        if timer:
            timer.cancel()
    codes = [members[victim].exitcode, *(member.exitcode for member in members)]
    return next((code for code in codes if code), 0), counts[0].value
