"""SIGTERM and Ctrl-C: files are cleaned up, and no impatience shows a traceback."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 15.0
"""Seconds to clean up, in which a second signal is too early."""

LATER = 0.05
"""Seconds after which a signal comes again that was lost in a callback."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which clusters send before their time limit, as an exception."""


def words(number: int) -> str:
    """What a stopped command says."""
    return f"vct: stopped{' by SIGTERM' if number == signal.SIGTERM else ''}."


@contextmanager
def raised() -> Iterator[list[int]]:
    """Raise the first signal as KeyboardInterrupt or Terminated inside the `with`.

    Later ones find the process cleaning up and are let pass; after PATIENCE, one ends it at once.

    Yields:
        The numbers of the signals so far: whatever is raised after one, the signal is the cause.
    """
    received: list[int] = []
    began = time.monotonic()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal began
        received.append(number)
        if len(received) == 1:
            began = time.monotonic()
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if time.monotonic() - began > PATIENCE:
            os._exit(128 + number)

    def unraisable(found: "sys.UnraisableHookArgs") -> None:
        # It struck inside a callback, where Python would report and forget it.
        if received and isinstance(found.exc_value, KeyboardInterrupt):
            number = received[0]
            received.clear()
            Timer(LATER, os.kill, [os.getpid(), number]).start()
        else:
            hook(found)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        with _handled(stop):
            yield received
    finally:
        sys.unraisablehook = hook


@contextmanager
def at_once() -> Iterator[None]:
    """End the process at a signal: inside the `with`, libraries are loaded, some of which abort at
    an exception, and nothing is to be cleaned up."""

    def leave(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(2, f"{words(number)}\n".encode())
        os._exit(128 + number)

    with _handled(leave):
        yield


@contextmanager
def by_the_system() -> Iterator[None]:
    """The same without a word: inside the `with`, C waits, and Python would never hear of it."""
    with _handled(signal.SIG_DFL):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    """What the shell made deaf to Ctrl-C, as it does in the background, stays so."""
    heard = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]
    try:
        old = {number: signal.signal(number, handler) for number in heard}
    except ValueError:  # not in the main thread, where signals arrive
        old = {}
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)
