"""What follows the files of a training and tells MLflow, so that training knows nothing of it.

It is a process and not a thread: importing mlflow holds Python's global lock for seconds, during
which a training loop would crawl, and a process that hangs can be ended.

`python -m vct.lab.tracking.watch ROOT RUN PARENT INTERVAL [system]` sends rows of
`state/<run>/log.jsonl` every INTERVAL seconds while its input is open and PARENT lives; with
`system`, the load of the machine too. Then training is over: FINISHED if it wrote
`results/<run>/config.json`, else the one word that came through the input, KILLED without one. The
process prints the reason of each attempt that failed, a line each, and exits with 0 if all was
sent.
"""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vct.lab.files.layout import RunId
from vct.lab.files.locks import locked
from vct.lab.tracking.files import RunFiles
from vct.lab.tracking.run import MlflowRun
from vct.lab.tracking.store import Store, machine_monitor, reason, switched_off

LAST_ATTEMPT = 10
"""Seconds for the last attempt when nobody is left to end the watcher."""


# --- beside the training -----------------------------------------------------------------------


@contextmanager
def following(
    run: RunId,
    enabled: bool = True,
    system_metrics: bool = False,
    *,
    stops: type[BaseException] = KeyboardInterrupt,
    root: Path = Path(),
    delay: float = 60.0,
    interval: float = 10.0,
    patience: float = 10.0,
) -> Iterator[None]:
    """Follow the training inside the `with`, which has written `state/<run>/started.json`.

    Training never waits for it, but for a last attempt of at most `patience` seconds at its end,
    and no failure reaches it: one line on stderr says that tracking is away, and later attempts,
    scoring or `vct track sync` send what is missing.

    Args:
        run: whose files are followed.
        enabled: False for no tracking at all; so does `VCT_TRACKING=off` in the environment.
        system_metrics: whether MLflow gets the load of the machine too.
        stops: the exception that says that training was stopped and did not fail.
        root: folder of the project.
        delay: seconds of training before the first attempt. Importing mlflow takes as long as a
            tenth of a training of a minute; shorter ones are sent by `vct track scores` or `sync`.
        interval: seconds between attempts.
        patience: seconds for the last one.
    """
    if not enabled or switched_off():
        yield
        return
    Store(root)  # an address that MLflow would not take is refused before anything trains
    watcher = WatcherProcess(RunFiles(root, run), delay, interval, system_metrics)
    unfinished = "KILLED"
    try:
        yield
    except Exception as error:
        if not isinstance(error, stops):
            unfinished = "FAILED"
        raise
    finally:
        watcher.end(unfinished, patience)


class WatcherProcess:
    """The watching process, and the thread that starts it and listens to it."""

    def __init__(
        self, files: RunFiles, delay: float, interval: float, system_metrics: bool = False
    ) -> None:
        self.files, self.delay, self.interval = files, delay, interval
        self.system_metrics = system_metrics
        self.process: subprocess.Popen[str] | None = None
        self._starting, self._over = threading.Lock(), threading.Event()
        self._why: str | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._warn(str(error))

    def _run(self) -> None:
        self._over.wait(self.delay)
        with self._starting:
            if self._over.is_set():
                return
            try:
                self.process = self._start()
            except OSError as error:
                self._warn(str(error))
                return
        assert self.process.stdout is not None
        warned = False
        for line in self.process.stdout:
            if not warned:  # what goes wrong later is not news
                self._warn(line.strip())
            warned = True
        # At the end of training, or because something killed it: then it is told at once.
        if (code := self.process.wait()) and not warned:
            self._warn(self._why or f"its process ended with code {code}")

    def _start(self) -> "subprocess.Popen[str]":
        arguments = (self.files.root.absolute(), self.files.run, os.getpid(), self.interval)
        more = ["system"] if self.system_metrics else []
        return subprocess.Popen(
            [sys.executable, "-m", "vct.lab.tracking.watch", *map(str, arguments), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for training
            encoding="utf-8",
            errors="replace",
        )

    def _warn(self, why: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads stderr any more
            print(
                f"vct: tracking is away ({why}); metrics stay in {self.files.run.state} and are "
                f"sent later: vct track sync {self.files.run}",
                file=sys.stderr,
                flush=True,
            )

    def end(self, unfinished: str, patience: float) -> None:
        """Say that training is over, and what it is if it is not finished; then wait."""
        with self._starting:
            self._over.set()
        if self.process is None:
            return
        assert self.process.stdin is not None
        with suppress(OSError):  # it is gone already; its exit code says so
            self.process.stdin.write(f"{unfinished}\n")
            self.process.stdin.close()
        self._thread.join(patience)
        if self._thread.is_alive():
            self._why = f"no answer in {patience:g} s"
            self.process.kill()
            self._thread.join(1.0)


# --- the process -------------------------------------------------------------------------------


class Watcher:
    """Sends the rows of a training that goes on.

    Args:
        reports: descriptor that failures are told to.
        system_metrics: whether to send the load of the machine too.
    """

    def __init__(
        self,
        files: RunFiles,
        parent: int,
        interval: float,
        reports: int,
        system_metrics: bool = False,
    ) -> None:
        self.files, self.parent, self.interval, self.reports = files, parent, interval, reports
        self.system_metrics = system_metrics
        self.tracked: MlflowRun | None = None
        self._monitor: Any = None

    def run(self) -> int:
        """Attempt, wait, attempt again, until training ends."""
        ending: str | None = None
        with locked(self.files.lock):
            while True:
                sent = self._attempt(ending)
                if ending is not None:
                    return 0 if sent else 1
                ending = self._wait()

    def _wait(self) -> str | None:
        """Sleep for an interval; if training is over, return what it is if it is not finished."""
        readable, _, _ = select.select([sys.stdin], [], [], self.interval)
        if readable and (word := sys.stdin.readline()):
            return word.strip()
        if readable or os.getppid() != self.parent:  # it was killed and could not say so
            signal.alarm(LAST_ATTEMPT)
            return "KILLED"
        return None

    def _attempt(self, ending: str | None) -> bool:
        try:
            if self.tracked is None:
                config, _ = self.files.config()
                self.tracked = MlflowRun(Store(self.files.root), self.files, config, running=True)
                self._watch_machine(self.tracked)
            self.tracked.send_rows()
            if ending is not None:
                self._end(self.tracked, ending)
            return True
        except Exception as error:
            self.tracked = None
            with suppress(OSError):  # nobody listens any more
                os.write(self.reports, f"{reason(error)}\n".encode(errors="replace"))
            return False

    def _watch_machine(self, tracked: MlflowRun) -> None:
        """Let MLflow's own thread send the load of the machine, from now on."""
        if self.system_metrics and self._monitor is None:
            self._monitor = machine_monitor(tracked.store, tracked.id, self.interval)
            self._monitor.start()

    def _end(self, tracked: MlflowRun, ending: str) -> None:
        if self._monitor:
            self._monitor.finish()
        tracked.config, complete = self.files.config()
        if complete:
            # Scores of an earlier training may still lie in the folder.
            tracked.send_end()
        else:
            tracked.end(ending, self.files.until(tracked.config))
        tracked.row.update()


def main(root: str, run: str, parent: str, interval: str, *more: str) -> int:
    """Watch one training; what libraries print goes nowhere."""
    reports = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    files = RunFiles(Path(root), RunId.parse(run))
    return Watcher(files, int(parent), float(interval), reports, "system" in more).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
