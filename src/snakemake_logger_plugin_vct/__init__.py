"""What Snakemake says on the terminal: a line for each job, and its own words on demand.

Snakemake finds it by its name; profiles/default switches it on (`logger: [vct]`). What is shown is
the matter of `vct.lab.workflow.board`; here are Snakemake's events, and the line at the bottom of a
terminal that is written over. All that Snakemake has to say is in .snakemake/log anyway.
"""

import re
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from logging import INFO, Handler, LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from vct.lab.processes import progress, streams
from vct.lab.workflow.board import AFTER, AT_ONCE, WIDTH, Board, plain, reason

TICK, SILENCE = 1.0, 60.0
"""Seconds between two looks at what runs; without a line until what runs is told of, where no line
can be written over."""
SHARE = 1 / 30
"""Of the time that has passed: silence that is borne on a long run."""
HIDDEN = (
    "Building DAG",
    "Assuming unrestricted shared filesystem",
    "Complete log(s)",
    "Exiting because a job execution failed",
)
"""Beginnings of what helps nobody. While jobs run, nothing but warnings and errors does."""
TOLD = ("At least one job did not complete", "CalledProcessError")
"""What Snakemake says of jobs that failed, after they were told of."""
NO_JOB = "all"
"""The rule that only names what is to be there."""


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options of the command line: --logger-vct-full."""

    full: bool = field(
        default=False,
        metadata={
            "help": "Snakemake's own words: reasons, files, resources and dates of each job, as "
            "with --verbose, but without what is for finding faults",
            "env_var": False,
            "required": False,
        },
    )


class LogHandler(LogHandlerBase):
    """Turns Snakemake's events into lines of a `Board`.

    With `--verbose` or `--logger-vct-full` Snakemake's own handler speaks instead.
    """

    def __post_init__(self) -> None:
        common = self.common_settings
        self.own = _snakemakes(common) if common.verbose or self._asked_for_all() else None
        self.quiet = {getattr(each, "name", str(each)).lower() for each in common.quiet or ()}
        self.board = Board(self._write)
        self.executes = False
        self.bar: Any = None
        self.began = self.shown = time.monotonic()
        self.ending = threading.Event()

    def _asked_for_all(self) -> bool:
        return bool(getattr(self.settings, "full", False))

    def emit(self, record: LogRecord) -> None:
        """Show what is worth it."""
        try:
            if self.own is not None:
                self.own.handle(record)
            else:
                self._show(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """The last words; nothing is said after them."""
        self.ending.set()
        self._close_bar()
        if self.board.stopped and threading.current_thread() is threading.main_thread():
            # All is said, and the jobs have heard of it: Python waits for them, and would answer
            # another Ctrl-C with a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.own is None:
            if self.common_settings.dryrun and self.board.total:
                self._write(f"{self.board.summary()}. Nothing was run (-n).")
            for line in self.board.last_words():
                streams.say(line)
            self.board = Board(self._write)
        super().close()

    def _show(self, record: LogRecord) -> None:
        given: Any = record
        match getattr(record, "event", None):
            case LogEvent.WORKFLOW_STARTED:
                self.executes = True
            case LogEvent.RUN_INFO:
                self._plan(given.stats)
            case LogEvent.JOB_INFO if given.rule_name != NO_JOB:
                self._job(given)
            case LogEvent.JOB_FINISHED:
                self.board.finished(given.job_id)
                self._refresh()
            case LogEvent.JOB_ERROR:
                self.board.broke(given.jobid, given.log)
            case LogEvent.ERROR:
                self._error(given)
            case LogEvent.DEBUG_DAG:
                pass
            case None:
                self._message(record)

    def _plan(self, stats: dict[str, int]) -> None:
        counts = {rule: n for rule, n in stats.items() if rule not in ("total", NO_JOB)}
        if self.common_settings.dryrun:
            self.board.planned(counts)
        elif not self.board.total and counts:
            self.board.planned(counts)
            self._write(self.board.summary())
            threading.Thread(target=self._tick, daemon=True).start()

    def _job(self, given: Any) -> None:
        name = given.rule_msg or given.rule_name
        if not self.common_settings.dryrun:
            self.board.started(given.jobid, name, given.rule_name, given.log, given.created)
        elif "rules" not in self.quiet:
            self._write(f"  {name:<{WIDTH}}  {reason(given.reason)}")
        if self.common_settings.printshellcmds and given.shellcmd:
            self._write(f"    {given.shellcmd}")

    def _error(self, given: Any) -> None:
        text = given.getMessage()
        if given.exception == "KeyboardInterrupt":
            self.board.stop(AT_ONCE)
        elif not any(words in text for words in TOLD):
            self.board.refuse(plain(text))

    def _message(self, record: LogRecord) -> None:
        """What is no event: told by its words alone."""
        text = record.getMessage()
        if text.startswith("Nothing to be done"):
            self._write(f"{text} It is in results/; make ui shows the runs.")
        elif text.startswith("Terminating processes on user request"):
            self.board.stop(AT_ONCE)
        elif text.startswith("Will exit after finishing currently running jobs"):
            self.board.stop(AFTER)
        elif found := re.match(r"Trying to restart job (\d+)", text):
            self.board.again(int(found[1]))
        elif "provenance/metadata" in text:
            self._write(text.splitlines()[0])
        elif not text.startswith(HIDDEN) and (record.levelno > INFO or not self.executes):
            self._write(text)

    # --- where it is written ---------------------------------------------------------------------

    def _write(self, text: str) -> None:
        self.shown = time.monotonic()
        if self.common_settings.stdout:
            print(text, flush=True)
        elif not {"all", "progress"} & self.quiet:
            streams.say(text)

    def _tick(self) -> None:
        """Tell of what runs, while nothing ends."""
        while not self.ending.wait(TICK):
            with self.lock:  # type: ignore[union-attr]
                if self.ending.is_set() or not self.board.running:
                    continue
                if progress.on_terminal():
                    self._refresh()
                elif self._is_long_ago():
                    self._write(f"    running: {self.board.now()}")

    def _is_long_ago(self) -> bool:
        now = time.monotonic()
        return now - self.shown >= max(SILENCE, SHARE * (now - self.began))

    def _refresh(self) -> None:
        """Write the bottom line of a terminal; there is none elsewhere."""
        board = self.board
        if not board.total or board.done == board.total or self.quiet or not progress.on_terminal():
            self._close_bar()
            return
        if self.bar is None:
            self.bar = progress.bar(board.total, "jobs", bar_format=BAR)
            streams.BARS.append(self.bar)
        self.bar.n = board.done
        self.bar.set_description_str(board.now())

    def _close_bar(self) -> None:
        self.bar = None
        streams.close_bars()

    # --- what Snakemake must know ----------------------------------------------------------------

    @property
    def writes_to_stream(self) -> bool:
        """So Snakemake's own handler stays away."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's file in .snakemake/log is its own."""
        return False

    @property
    def has_filter(self) -> bool:
        """Errors are shown with `--quiet` too."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Lines are the board's."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No picture is drawn."""
        return False


BAR = "{n_fmt}/{total_fmt} {bar:12} {desc}"


def _snakemakes(common: Any) -> Handler:
    """Snakemake's own handler for the terminal."""
    from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

    return ColorizingTextHandler(
        nocolor=common.nocolor,
        stream=sys.stdout if common.stdout else sys.stderr,
        formatter=DefaultFormatter(common.quiet, common.show_failed_logs),
        filter=DefaultFilter(
            common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
        ),
    )
