"""One holder at a time, whom the others learn."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from vct.lab.errors import UserError
from vct.lab.files.locks import lock, locked

HOLD = """
import sys, time
from pathlib import Path
from vct.lab.files.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def other_process(folder):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_second_holder_learns_who_has_it_and_gets_it_when_that_one_dies(tmp_path):
    folder = tmp_path / "state" / "run"
    with other_process(folder) as holder:
        with pytest.raises(UserError) as caught, lock(folder):
            pass
        message = str(caught.value)
        assert str(holder.pid) in message
        assert socket.gethostname() in message
        assert str(folder) in message
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock(folder):
            pass


def test_lock_is_free_afterwards_even_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), lock(tmp_path):
        raise RuntimeError
    with lock(tmp_path):
        pass


def test_not_twice_in_one_process(tmp_path):
    with lock(tmp_path), pytest.raises(UserError, match="in use"), lock(tmp_path):
        pass


def test_a_holder_that_has_not_signed_yet_is_another_process(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(UserError, match="another process"):
        lock(tmp_path).__enter__()


def test_who_does_not_wait_learns_that_it_is_held(tmp_path):
    with other_process(tmp_path), pytest.raises(BlockingIOError):
        locked(tmp_path / "lock", wait=False).__enter__()


def test_who_waits_gets_it_when_the_holder_dies(tmp_path):
    with other_process(tmp_path) as holder:
        timer = threading.Timer(0.3, holder.kill)
        timer.start()
        with locked(tmp_path / "lock"):
            assert holder.wait(10)
        timer.join()


def test_no_flock_is_one_sentence(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(UserError, match="a file system that has flock"), lock(tmp_path):
        pass


def test_runs_do_not_exclude_each_other(tmp_path):
    with lock(tmp_path / "a"), lock(tmp_path / "b"):
        pass


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"), lock(tmp_path / "file" / "run"):
        pass
