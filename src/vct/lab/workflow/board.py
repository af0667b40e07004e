"""What a person sees while jobs run: a line for each that ends, how long all will still take, and
at last what to do."""

import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import fmean

from vct.lab.processes.progress import duration, share

LONG = "train"
"""Rules of this beginning take longest: nothing is foretold before one has told of itself. A job of
another rule of which none has run yet counts as the others do on average."""
SOON = 2.0
"""Seconds that are not worth to be foretold."""
AT_ONCE = "Stopping; what runs saves its state or cleans up."
AFTER = "Stopping when what runs has ended."
"""What is said when a user stops it."""
TAIL = 16_384
"""Bytes of the end of a log that are looked at."""
SHOWN = 40
"""Lines of the log of a failed job that the terminal shows."""
LAST = 60
"""Letters of its last line that tell of a running job."""
WIDTH = 46
"""Columns for the name of a job."""
COARSE = 0.05
"""Seconds by which the dates of files may lie behind the clock."""
SENTENCE = "vct: "
"""What every command's last word begins with."""


@dataclass
class Job:
    """A job that was started.

    Args:
        name: the engine's message.
        rule: what is alike in it and others.
        logs: where it speaks; the first is its own, others are of who ran it.
        began: by the board's clock.
        since: by the system's clock; what was written before is of an older job.
    """

    name: str
    rule: str
    logs: list[Path]
    began: float
    since: float

    def share(self) -> float | None:
        """How much of it is done, by its log; None where that does not tell."""
        lines = reversed(self._new(0))
        return next((found for line in lines if (found := share(line)) is not None), None)

    def said(self) -> list[str]:
        """The end of the first log that holds something but lines of progress."""
        for place in range(len(self.logs)):
            lines = [line for line in self._new(place) if line.strip() and share(line) is None]
            if lines:
                return lines[-SHOWN:]
        return []

    def _new(self, place: int) -> list[str]:
        """The last lines of a log, unless they are of an older job."""
        logs = self.logs[place : place + 1]
        return [line for log in logs if _written(log) >= self.since for line in _tail(log)]

    def places(self) -> str:
        """Where its logs are."""
        return ", ".join(map(str, self.logs)) or "no log"


@dataclass
class Board:
    """Jobs of one call of an engine.

    Args:
        write: shows a line.
        clock: seconds.
    """

    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    running: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, tuple[Job, str]] = field(default_factory=dict)
    done: int = 0
    refusal: str = ""
    stopped: str = ""
    _took: dict[str, list[float]] = field(default_factory=dict)
    _lanes: int = 1
    _began: float = 0.0

    @property
    def total(self) -> int:
        """Number of jobs."""
        return self.counts.total()

    def planned(self, counts: Mapping[str, int]) -> None:
        """So many jobs of each rule are to run."""
        self.counts, self._began = Counter(counts), self.clock()

    def summary(self) -> str:
        """`117 jobs: 27 train, 27 sample, ...`."""
        each = ", ".join(f"{count} {rule}" for rule, count in self.counts.most_common())
        return f"{self.total} job{'s' * (self.total != 1)}: {each}"

    def started(self, number: int, name: str, rule: str, logs: Iterable[str], since: float) -> None:
        """A job began at `since`, of which one may hear when it has ended already."""
        paths = [Path(log) for log in logs]
        self.running[number] = Job(name, rule, paths, self.clock(), since - COARSE)
        self._lanes = max(self._lanes, len(self.running))

    def finished(self, number: int) -> None:
        """A job ended well."""
        job = self.running.pop(number, None)
        if job is None:
            return
        seconds = self.clock() - job.began
        self._took.setdefault(job.rule, []).append(seconds)
        self.done += 1
        self.write(self._line(job, f"{duration(seconds):>8}   {self._left()}"))
        if self.done == self.total:
            self.write(f"{self.summary().partition(':')[0]} done in {self._since()}.")

    def broke(self, number: int, logs: Iterable[str] = ()) -> None:
        """A job failed: what it said is shown, and where."""
        job = self.running.pop(number, None)
        if job is None or self.stopped == AT_ONCE:
            return
        job.logs += [log for log in map(Path, logs) if log not in job.logs]
        said = job.said()
        after = duration(self.clock() - job.began)
        self.write(self._line(job, f"failed after {after}; {job.places()}"))
        for line in said:
            self.write(f"    {line}")
        self.failed[number] = (job, _sentence(job, said))

    def again(self, number: int) -> None:
        """A job that failed is tried again."""
        if found := self.failed.pop(number, None):
            self.write(f"{found[0].name} is tried again.")

    def refuse(self, text: str) -> None:
        """Something is wrong that is no job's."""
        self.refusal = text

    def stop(self, words: str) -> None:
        """The user wants it to end: AT_ONCE, or AFTER what runs."""
        if not self.stopped:
            self.stopped = words
            self.write(words)

    def now(self, width: int = 200) -> str:
        """What runs, how far each is, and how long all will still take."""
        each = ", ".join(self._short(job) for job in self.running.values())
        text = "; ".join(filter(None, [self._left(), each]))
        return text if len(text) <= width else f"{text[: width - 1]}…"

    def last_words(self) -> list[str]:
        """What to know, and in the last line what to do, if not all went well."""
        so_far = f"{self.done} of {self.total} jobs are done"
        if self.stopped:
            return [f"Stopped: {so_far}. The same command goes on there."]
        words = []
        for job, sentence in self.failed.values():
            words += [f"Failed: {job.name}; its log is {job.places()}.", sentence]
        if words and self.done:
            words[:0] = [f"{so_far}; the same command goes on after them."]
        return [*words, *filter(None, [self.refusal])]

    def _line(self, job: Job, text: str) -> str:
        width = len(str(self.total))
        return f"[{self.done:>{width}}/{self.total}] {job.name:<{WIDTH}} {text}".rstrip()

    def _short(self, job: Job) -> str:
        if (part := job.share()) is not None:
            return f"{job.name} {part:.0%}"
        last = job.said()[-1:]  # it may wait for a GPU
        return f"{job.name} ({last[0][:LAST]})" if last else job.name

    def _since(self) -> str:
        return duration(self.clock() - self._began)

    def _left(self) -> str:
        seconds = self.left()
        return f"about {duration(seconds)} left" if seconds and seconds >= SOON else ""

    def left(self) -> float | None:
        """Seconds that all will still take, by jobs of the same rules so far; None if unknown."""
        known = {rule: list(took) for rule, took in self._took.items()}
        waiting = self.counts - Counter({rule: len(took) for rule, took in known.items()})
        now, passed = self.clock(), 0.0
        for job in self.running.values():
            passed += now - job.began
            if part := job.share():
                known.setdefault(job.rule, []).append((now - job.began) / part)
        if self.stopped or any(rule.startswith(LONG) and rule not in known for rule in waiting):
            return None
        short = [took for rule, took in known.items() if not rule.startswith(LONG)]
        usual = fmean([*chain(*(short or known.values()))] or [0.0])
        work = sum(count * fmean(known.get(rule, [usual])) for rule, count in waiting.items())
        return max(work - passed, 0.0) / self._lanes


def reason(words: str) -> str:
    """Why Snakemake runs a job, in short: the first cause among what it says."""
    for spelled, short in REASONS.items():
        if spelled in words:
            return short
    return words.partition(":")[0].partition(";")[0].lower()


REASONS = {
    "Forced execution": "asked for",
    "Params have changed": "settings changed",
    "Set of input files has changed": "reads other files",
    "Incomplete output files": "was left half-made",
    "Updated input files": "reads newer files",
    "Missing output files": "not made yet",
    "Input files updated by another job": "reads what is made anew",
}
"""The causes first, then what follows from them."""


def plain(error: str) -> str:
    """A refusal of ours that Snakemake reports, without its place in a file."""
    lines = [line for line in error.splitlines() if not re.match(r'  File ".*", line', line)]
    if len(lines) > 1 and re.fullmatch(r"WorkflowError( in file .*)?:", lines[0]):
        return f"{SENTENCE}error: " + " ".join(line.strip() for line in lines[1:])
    return "\n".join(lines)


def _sentence(job: Job, said: list[str]) -> str:
    if said and said[-1].startswith(SENTENCE):
        return said[-1]
    return (
        f"{SENTENCE}error: {job.name} ended without a word of its own (killed, or out of memory?); "
        f"see {job.places()}, then run the same command again: it goes on."
    )


def _written(log: Path) -> float:
    with suppress(OSError):
        return log.stat().st_mtime
    return -math.inf


def _tail(log: Path) -> list[str]:
    with suppress(OSError), log.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
        # What outlived its engine may go on writing into the log of the next job: far behind it.
        return stream.read().replace(b"\0", b"").decode(errors="replace").splitlines()
    return []
