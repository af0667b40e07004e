"""How far long work is: a bar on a terminal, elsewhere a line now and then.

Both tell the rate and the time that is left. Work inside other work has a bar of its own below.
"""

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from threading import RLock
from typing import Any, TypeVar

from vct.lab.processes import launch, streams

PAUSE, LONGEST_PAUSE = 10.0, 60.0
"""Seconds between two lines, at first and later."""
GROWTH = 1 / 60
"""Of the time that has passed: the pause in between."""
COLUMNS = 80
DELAY = 0.5
"""Seconds for which work is worth no bar."""
LINE = re.compile(r"^\s*([\d,]+)/([\d,]+) .*\bleft\b")

T = TypeVar("T")


class Progress:
    """A piece of work of `total` equal parts, as a context manager; `to` says how many are done.

    Of several processes, the main one alone speaks.

    Args:
        total: number of parts.
        what: what they are called, in the plural.
        done: how many were done before.
        summary: whether a line says at the end how long it took.
    """

    def __init__(self, total: int, what: str, done: int = 0, summary: bool = False) -> None:
        self.total, self.what, self.done, self.summary = total, what, done, summary
        self.first, self.note = done, ""
        self.began = self.shown = time.monotonic()
        self.speaks = not launch.is_helper()
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        if self.speaks and on_terminal():
            with suppress(ImportError, OSError):  # `vct.load` does without tqdm
                self.bar = bar(self.total, self.what, self.done, delay=DELAY)
                streams.BARS.append(self.bar)
        return self

    def to(self, done: int, note: str = "") -> None:
        """So many parts are done; the note stands behind until there is another one."""
        self.done = done
        self.note = note or self.note
        if self.bar is not None:
            with suppress(OSError, ValueError):  # the terminal may be closed
                if self.note != (self.bar.postfix or ""):
                    self.bar.set_postfix_str(self.note, refresh=False)
                self.bar.update(done - self.bar.n)
        elif self.speaks and (now := time.monotonic()) - self.shown >= self._pause(now):
            self.shown = now
            streams.say(self.line())

    def line(self) -> str:
        """`1,200/4,000 steps (30 %), 96/s, 29 s left  loss 0.123`."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        rate = (self.done - self.first) / seconds
        left = duration((self.total - self.done) / rate) if rate else "?"
        share = 100 * self.done // max(self.total, 1)
        text = f"{self.done:,}/{self.total:,} {self.what} ({share} %), {rate:.3g}/s, {left} left"
        return f"{text}  {self.note}".rstrip()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.bar is not None:
            with suppress(OSError, ValueError):
                streams.BARS.remove(self.bar)
                self.bar.close()
        if kind is None and self.summary and self.speaks:
            took = duration(time.monotonic() - self.began)
            text = f"{self.done - self.first:,} {self.what} in {took}"
            streams.say(f"{text}  {self.note}".rstrip())

    def _pause(self, now: float) -> float:
        return min(LONGEST_PAUSE, max(PAUSE, GROWTH * (now - self.began)))


def counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The items, one part of the work each."""
    with Progress(total, what) as progress:
        for done, item in enumerate(items, start=1):
            yield item
            progress.to(done)


def share(line: str) -> float | None:
    """What share of the work is done by a line of `Progress.line`; None for any other line."""
    if not (found := LINE.match(line)):
        return None
    done, total = (int(number.replace(",", "")) for number in found.groups())
    return done / max(total, 1)


def duration(seconds: float) -> str:
    """A time in at most two units: `38 s`, `4 min`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def on_terminal() -> bool:
    """Whether stderr is a terminal on which a line can be written over."""
    with suppress(AttributeError, ValueError):
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return False


def bar(total: int, what: str, done: int = 0, **more: Any) -> Any:
    """A bar at the bottom of the terminal, of tqdm; `more` goes to it."""
    return _tqdm()(
        total=total,
        initial=done,
        unit=f" {what}",
        leave=False,
        # Some terminals do not know how wide they are, where tqdm would show nothing.
        **({"dynamic_ncols": True} if _columns() else {"ncols": COLUMNS}),
        miniters=1,
        file=sys.stderr,
        **more,
    )


def _columns() -> int:
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns
    return 0


@cache
def _tqdm() -> Any:
    """tqdm without its thread that watches for bars that stand still, and without the lock between
    processes, which takes a helper process: one process alone writes."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0
    tqdm.set_lock(RLock())
    return tqdm
