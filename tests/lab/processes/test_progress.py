"""How far work is: lines where nobody can be written over, a bar on a terminal."""

import io
import re
import sys

import pytest

from vct.lab.processes import progress, streams
from vct.lab.processes.progress import Progress, counted, duration, share


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when they are told to."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self):
        return True


def opened(monkeypatch):
    """A terminal as stderr; asked for in a test, as pytest has its own stderr between fixtures."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "DELAY", 0)
    return found


def test_a_line_now_and_then_with_rate_and_rest(clock, capsys):
    with Progress(4000, "steps") as work:
        for done in range(1, 1501):
            clock.now += 0.01
            work.to(done, f"loss {done}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1  # 15 seconds have passed, and it has not ended
    assert re.fullmatch(
        r"(1,00\d|999)/4,000 steps \(2[45] %\), 100/s, 30 s left  loss (100\d|999)", lines[0]
    )


def test_lines_grow_rare(clock, capsys):
    with Progress(100_000, "steps") as work:
        for done in range(100_000):
            clock.now += 1
            work.to(done)
    count = len(capsys.readouterr().err.splitlines())
    assert 100_000 / 60 <= count < 1.1 * 100_000 / 60


def test_what_was_done_before_counts_for_no_rate(clock):
    with Progress(100, "steps", done=50) as work:
        clock.now += 10
        work.to(60)
        assert work.line() == "60/100 steps (60 %), 1/s, 40 s left"


def test_nothing_is_said_of_what_is_quick(clock, capsys):
    assert list(counted("abc", 3, "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_summary_at_the_end(clock, capsys):
    with Progress(30, "steps", done=10, summary=True) as work:
        clock.now += 120
        work.to(30, "loss 0.5")
    assert capsys.readouterr().err.splitlines()[-1] == "20 steps in 2 min  loss 0.5"


def test_no_summary_of_what_failed(clock, capsys):
    with pytest.raises(ValueError), Progress(30, "steps", summary=True):
        clock.now += 5
        raise ValueError
    assert capsys.readouterr().err == ""


def test_of_several_processes_one_speaks(clock, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with Progress(3, "steps", summary=True) as work:
        clock.now += 100
        work.to(1)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_that_goes_when_it_is_done(monkeypatch):
    terminal = opened(monkeypatch)
    with Progress(3, "steps") as work:
        work.bar.mininterval = 0.0
        work.to(1, "loss 0.5")
        work.to(3)
    shown = terminal.getvalue()
    assert "3/3" in shown and "steps/s" in shown and "loss 0.5" in shown
    assert "\n" not in shown and shown.split("\r")[-2].strip() == ""
    assert streams.BARS == []


def test_lines_are_written_above_a_bar(monkeypatch):
    terminal = opened(monkeypatch)
    with Progress(3, "steps") as work:
        work.to(1)
        before = terminal.tell()
        streams.say("warning: it is hot.")
        cleared, _, shown = re.split(r"(warning: it is hot\.\n)", terminal.getvalue()[before:])
        assert cleared.startswith("\r") and cleared.strip() == "" and "1/3" in shown


def test_what_ended_a_command_is_said_without_its_bars(monkeypatch):
    """A generator that a loop left by an error is not closed yet when the error is told."""
    terminal = opened(monkeypatch)
    work = counted("abc", 3, "letters")
    next(work)
    streams.close_bars()
    before = terminal.tell()
    streams.say("vct: error: no.")
    assert terminal.getvalue()[before:] == "vct: error: no.\n"
    work.close()


def test_a_closed_terminal_stops_no_work(monkeypatch):
    terminal = opened(monkeypatch)
    with Progress(3, "steps") as work:
        terminal.close()
        for done in (1, 2, 3):
            work.to(done, "loss 1")
        streams.say("step")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (38.2, "38 s"),
        (99.6, "2 min"),
        (250, "4 min"),
        (7800, "2 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_shares_are_read_back(clock):
    work = Progress(4000, "steps")
    work.to(1000, "loss 12/3 left")
    assert share(work.line()) == 0.25
    for line in ("vct: error: 1/2 of it is lost.", "digits: 1397 for training", ""):
        assert share(line) is None


def test_where_tqdm_is_not_installed_there_are_lines(monkeypatch):
    terminal = opened(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    progress._tqdm.cache_clear()
    with Progress(3, "steps") as work:
        work.began = work.shown = progress.time.monotonic() - 100
        work.to(1)
    assert terminal.getvalue().startswith("1/3 steps (33 %), ")
    progress._tqdm.cache_clear()
