"""One training at a time for each run."""

import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from vct.lab.errors import UserError
from vct.lab.files.locks import lock

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


def test_damaged_record_of_the_holder_is_no_obstacle(tmp_path):
    (tmp_path / "lock").write_text("garbage")
    with lock(tmp_path):
        (tmp_path / "lock").write_text("garbage again")
        with pytest.raises(UserError, match="another process"), lock(tmp_path):
            pass


def test_runs_do_not_exclude_each_other(tmp_path):
    with lock(tmp_path / "a"), lock(tmp_path / "b"):
        pass


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"), lock(tmp_path / "file" / "run"):
        pass
