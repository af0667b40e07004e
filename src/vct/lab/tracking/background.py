"""Tracking of a training by a process of its own, which may fail without harm."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import vct
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.tracking import disk
from vct.lab.tracking.disk import Note, RunFiles
from vct.lab.tracking.uri import set_environment, switched_off


class BackgroundSync:
    """Sends the rows of `state/<run>/log.jsonl` while training writes them.

    Training never waits for it, but for a last attempt of at most `patience` seconds at its end,
    and no failure reaches it: one line on stderr says that tracking is away, and later attempts,
    scoring or `vct track sync` send what is missing. The MLflow run ends as FINISHED, as FAILED
    after an exception, as KILLED after an interruption or the death of this process.

    Args:
        root: folder of the project.
        run_id: `experiment/coupling/seed0`.
        config: what `config.json` of the run will hold, apart from its summary.
        fresh: whether training starts anew, so that an MLflow run of its own is due.
        enabled: False for no tracking at all; so does `VCT_TRACKING=off` in the environment.
        delay: seconds of training before the first attempt. Importing mlflow takes as long as a
            tenth of a training of a minute; shorter ones are sent by `vct track scores` or `sync`.
        interval: seconds between attempts.
        patience: seconds for the last one.
    """

    def __init__(
        self,
        root: Path,
        run_id: str,
        config: dict[str, Any],
        *,
        fresh: bool = False,
        enabled: bool = True,
        delay: float = 60.0,
        interval: float = 10.0,
        patience: float = 10.0,
    ) -> None:
        self.files = RunFiles(root, RunId.parse(run_id))
        self.config, self.fresh, self.interval, self.patience = config, fresh, interval, patience
        self.enabled = enabled and not switched_off()
        self._worker: _Worker | None = None
        self._timer = threading.Timer(delay, self._start)
        self._timer.daemon = True

    def __enter__(self) -> "BackgroundSync":
        if self.enabled:
            try:
                self._note()
                self._timer.start()
            except (OSError, RuntimeError, UserError) as error:
                _warn(self.files, str(error))
        return self

    def _start(self) -> None:
        try:
            self._worker = _Worker(self.files, self.interval)
        except (OSError, RuntimeError) as error:  # no process or no thread to be had
            _warn(self.files, str(error))

    def _note(self) -> None:
        """Leave word of this training, for whoever sends it should the worker not manage."""
        note = self.files.read_note()
        known = note.config and disk.identity(note.config) == disk.identity(self.config)
        if self.fresh or not known:
            note = Note(since=int(time.time() * 1000) if self.fresh else 0)
        note.config = self.config
        self.files.write_note(note)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._timer.is_alive():
            self._timer.join()
        if self._worker is not None:
            self._worker.end({"end": _status(kind)}, self.patience)


def _status(kind: type[BaseException] | None) -> str:
    if kind is None:
        return "FINISHED"
    stopped = not issubclass(kind, Exception) or kind.__name__ == "Interrupted"
    return "KILLED" if stopped else "FAILED"


class _Worker:
    """A `vct.lab.tracking.worker` process and the thread that listens to it."""

    def __init__(self, files: RunFiles, interval: float) -> None:
        self.files, self._warned, self._warning = files, False, threading.Lock()
        set_environment()
        source = str(Path(vct.__file__).parents[1])
        search = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        arguments = (files.root.absolute(), files.run, interval, os.getpid())
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vct.lab.tracking.worker", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": search},
            start_new_session=True,  # Ctrl-C is for training, which then says how it ended
            encoding="utf-8",
            errors="replace",
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._warn(line.strip())
        # At the end of training, or because something killed it: then it is told at once.
        if code := self._process.wait():
            self._warn(f"its process ended with code {code}")

    def _warn(self, why: str) -> None:
        """Once: what goes wrong later is not news."""
        with self._warning:
            warned, self._warned = self._warned, True
        if not warned:
            _warn(self.files, why)

    def end(self, message: dict[str, Any], patience: float) -> bool:
        """Send the last message, wait at most `patience` seconds; return whether all was sent."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone already; its exit code says so
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.close()
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._warn(f"no answer in {patience:g} s")
            self._process.kill()
            code = 1
        self._listener.join(1.0)
        return code == 0


def _warn(files: RunFiles, why: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads stderr any more
        print(
            f"vct: tracking is away ({why}); metrics stay in {files.run.state} and are sent later: "
            f"vct track sync {files.run}",
            file=sys.stderr,
            flush=True,
        )
