"""The process beside a training that talks to MLflow, so that they never wait for it.

A process and not a thread: importing mlflow holds Python's global lock for seconds, during which a
training loop would crawl, and a process that hangs can be ended.

It reads one JSON object from its input, `{"end": STATUS}`, when training is over. It prints a line
for each attempt that failed, the reason, and exits with 0 if all was sent.
"""

import contextlib
import json
import os
import select
import signal
import sys
from pathlib import Path

from vct.lab.files.layout import RunId
from vct.lab.tracking import client
from vct.lab.tracking.database import locked
from vct.lab.tracking.disk import RunFiles
from vct.lab.tracking.run import RunTracker
from vct.lab.tracking.sync import open_store, send_results

LAST_ATTEMPT = 10
"""Seconds for the last attempt when nobody is left to end this process."""

_reports = 1
"""Where failures are told: the output this process was given, which libraries do not reach."""


def main(arguments: list[str]) -> int:
    """Run as `worker ROOT RUN INTERVAL PARENT`."""
    root, run = Path(arguments[0]), RunId.parse(arguments[1])
    return Follower(RunFiles(root, run), float(arguments[2]), int(arguments[3])).run()


class Follower:
    """Sends the rows of a training that goes on."""

    def __init__(self, files: RunFiles, interval: float, parent: int) -> None:
        self.files, self.interval, self.parent = files, interval, parent
        self.config = files.read_note().config
        self.tracker: RunTracker | None = None

    def run(self) -> int:
        """Attempt, wait, attempt again, until training ends."""
        status: str | None = None
        with locked(self.files.lock):
            while True:
                sent = self._attempt(status)
                if status is not None:
                    return 0 if sent else 1
                status = self._wait()

    def _wait(self) -> str | None:
        """Sleep for an interval; return a status if training is over."""
        readable, _, _ = select.select([sys.stdin], [], [], self.interval)
        line = sys.stdin.readline() if readable else ""
        if line:
            return str(json.loads(line)["end"])
        if readable or os.getppid() != self.parent:  # it was killed and could not say so
            signal.alarm(LAST_ATTEMPT)
            return "KILLED"
        return None

    def _attempt(self, status: str | None) -> bool:
        try:
            if self.tracker is None:
                store = open_store(self.files.root)
                self.tracker = RunTracker.open(store, self.files, self.config, running=True)
            self.tracker.send_rows()
            if status == "FINISHED":
                self._finish(self.tracker)
            elif status is not None:
                self.tracker.end(status)
            return True
        except Exception as error:
            self.tracker = None
            _report(error)
            return False

    def _finish(self, tracker: RunTracker) -> None:
        """Status and files; scores of an earlier training may still lie in the folder."""
        config, complete = self.files.config()
        if complete:
            tracker.config = config
            send_results(tracker, {}, [self.files.results / "config.json"])
        tracker.end("FINISHED")


def _report(error: Exception) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(_reports, f"{client.reason(error)}\n".encode(errors="replace"))


def _keep_output_for_reports() -> None:
    global _reports
    _reports = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    _keep_output_for_reports()
    sys.exit(main(sys.argv[1:]))
