"""Lock files of Snakemake are removed if, and only if, no living Snakemake can own them."""

import os
import signal
import subprocess
import sys

import pytest

from vct.lab.workflow import stale_lock

OTHER = """
import sys, time
from pathlib import Path
from vct.lab.workflow import stale_lock
stale_lock.clear(Path(sys.argv[1]))
print("alive", flush=True)
subprocess = __import__("subprocess")
job = subprocess.Popen(["sleep", "60"])
print(job.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that read the Snakefile, and then locked the folder; its job's number."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, tmp_path / ".snakemake"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "alive\n"
    job = int(process.stdout.readline())
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir()
    lock.write_text("results/x\n")
    yield process, lock
    process.kill()
    process.wait()
    process.stdout.close()
    os.kill(job, signal.SIGKILL)


@pytest.fixture
def clear(tmp_path, monkeypatch):
    """`stale_lock.clear` in a process that then ends."""
    held = []
    monkeypatch.setattr(stale_lock, "_HELD", held)

    def call():
        stale_lock.clear(tmp_path / ".snakemake")
        for stream in held:
            stream.close()
        held.clear()

    return call


def test_lock_of_a_living_one_stays(other, clear):
    _, lock = other
    clear()
    assert lock.exists()


def test_lock_of_a_killed_one_is_removed_though_its_job_lives_on(other, clear, capsys):
    process, lock = other
    process.kill()
    process.wait()
    clear()
    assert not lock.exists()
    assert "unlocked" in capsys.readouterr().err


def test_two_living_ones_do_not_shut_each_other_out(other, clear):
    process, lock = other
    for _ in range(2):
        clear()
    process.kill()
    process.wait()
    clear()
    assert not lock.exists()


def test_lock_of_another_host_stays(other, clear, monkeypatch):
    """flock may not reach it there."""
    process, lock = other
    process.kill()
    process.wait()
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    clear()
    assert lock.exists()


def test_locks_from_before_stay(tmp_path, clear):
    """Nobody can say whose they are."""
    lock = tmp_path / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    clear()
    clear()
    assert lock.exists()


def test_no_folder_to_write_to_is_no_error(tmp_path, clear):
    (tmp_path / ".snakemake").touch()
    clear()


def test_the_host_of_the_last_free_start_may_unlock(tmp_path, clear, monkeypatch):
    """A container has another name each time."""
    clear()
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    clear()
    lock = tmp_path / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir()
    lock.touch()
    clear()
    assert not lock.exists()
