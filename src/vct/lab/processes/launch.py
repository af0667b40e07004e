"""Starts the processes of a run on this machine, and ends them together."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from vct.lab.errors import LOST
from vct.lab.processes import stops, streams

COMMAND = [sys.executable, "-m", "vct"]
GRACE = 30.0
"""Seconds that the others have to end once one has failed."""
SAVING = 600.0
"""The same once one has ended as it was asked to: the main one may still write its state."""
STOPPED = tuple(128 + number for number in stops.NUMBERS)
POLL = 0.1


def is_member() -> bool:
    """Whether this process was started as one of several; asked without torch, which is slow."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_helper() -> bool:
    """Whether another process of the group writes what they make together."""
    return is_member() and os.environ.get("RANK") != "0"


def run(arguments: list[str], size: int, kept: tuple[int, ...] = ()) -> int:
    """Run `vct ARGUMENTS` in `size` processes, one for each device; return the exit code.

    The processes hold the descriptors `kept` open too: what these lock is theirs while one lives.

    The first process speaks; what another said is shown if it was the first to fail. Signals go to
    all of them, and each ends as it would alone: a training saves its state.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vct-")))
        said = [None if rank == 0 else (folder / f"{rank}.txt").open("w+b") for rank in range(size)]
        for file in said[1:]:
            stack.enter_context(file)  # type: ignore[arg-type]
        members: list[subprocess.Popen[bytes]] = []
        with _forwarding(members) as received:
            for rank in range(size):
                members.append(_start(arguments, rank, size, folder, said[rank], kept))
            if received:  # before some were there
                _signal(members, received[0])
            first = _wait(members)
        if first is None:
            return 0
        failed = _cause([member.returncode for member in members], first)
        _tell(said[failed])
        if members[failed].returncode in [-number for number in stops.NUMBERS]:
            streams.say(stops.words(-members[failed].returncode))
        return _exit_code(members[failed].returncode)


def _start(
    arguments: list[str],
    rank: int,
    size: int,
    folder: Path,
    said: IO[bytes] | None,
    kept: tuple[int, ...],
) -> subprocess.Popen[bytes]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "VCT_STORE": folder / "store"}
    environment = os.environ | {name: str(value) for name, value in place.items()}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment,
        pass_fds=kept,
        stderr=said,
        stdout=None if said is None else subprocess.DEVNULL,
    )


def _wait(members: list[subprocess.Popen[bytes]]) -> int | None:
    """Wait for all; return which failed first, after ending the others."""
    while True:
        codes = [member.poll() for member in members]
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if failed is not None:
            _end(members, SAVING if codes[failed] in STOPPED else GRACE)
            return failed
        if all(code == 0 for code in codes):
            return None
        time.sleep(POLL)


def _cause(codes: list[int], first: int) -> int:
    """Which process to blame: one that did not end because of another, else the first to end."""
    own = [rank for rank, code in enumerate(codes) if code not in (0, LOST, -signal.SIGKILL)]
    return own[0] if own else first


def _end(members: list[subprocess.Popen[bytes]], grace: float) -> None:
    """Give those that still run time to notice that one is gone, then stop them."""
    deadline = time.monotonic() + grace
    for member in members:
        try:
            member.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            member.kill()
            member.wait()


def _tell(said: IO[bytes] | None) -> None:
    """Show what a process other than the first wrote to stderr."""
    if said is not None:
        said.seek(0)
        streams.say(said.read().decode(errors="replace").rstrip("\n"))


def _exit_code(code: int) -> int:
    """As a shell gives it: 128 + signal for a process that was killed."""
    return 128 - code if code < 0 else code


def _signal(members: list[subprocess.Popen[bytes]], number: int) -> None:
    for member in members:
        if member.poll() is None:
            member.send_signal(number)


@contextmanager
def _forwarding(members: list[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Hand SIGTERM and Ctrl-C on, and go on waiting; yields the numbers of those that came."""
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        _signal(members, number)

    old = {number: signal.signal(number, forward) for number in stops.NUMBERS}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
