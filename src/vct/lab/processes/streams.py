"""What a command says: its stdout and stderr, which may be full, closed, or read no more."""

import os
import select
import sys
from contextlib import suppress
from typing import Protocol, TextIO


class Bar(Protocol):
    """A bar that shows how far something is, at the bottom of the terminal."""

    def clear(self) -> None: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


BARS: list[Bar] = []
"""Those that are shown; see `vct.lab.processes.progress`."""


def say(text: str) -> None:
    """A line on stderr, above the bars. A command goes on if nobody listens any more: the terminal
    was closed, or the engine was killed."""
    with suppress(OSError, ValueError):
        for bar in BARS:
            bar.clear()
        print(text, file=sys.stderr, flush=True)
        for bar in BARS:
            bar.refresh()


def close_bars() -> None:
    """Remove the bars of work that did not come to its end, before it is said why."""
    with suppress(OSError, ValueError):
        while BARS:
            BARS.pop().close()


def flush(stream: TextIO | None) -> None:
    """Deliver what was printed.

    Raises:
        OSError: if it cannot be: the disk is full, the reader is gone.
    """
    if stream is not None:
        stream.flush()


def is_unread(stream: TextIO | None) -> bool:
    """Whether it is a pipe that nobody reads any more."""
    if stream is None:
        return False
    watched = select.poll()
    with suppress(OSError, ValueError):
        watched.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watched.poll(0))


def settle() -> None:
    """Drop what cannot be delivered, which Python would try again, and report, at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            flush(stream)
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
