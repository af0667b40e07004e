"""Ctrl-C and SIGTERM, however often they come: 128 + signal, one line, files cleaned up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import variants

BEFORE = """
import atexit, os, signal, sys, time
from pathlib import Path
from vct.lab import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start tests deaf to it

def ready(wait):
    print("ready", flush=True)
    time.sleep(wait)

class Slow:
    def __del__(self):
        ready(20)

def stage():
    try:
        ready(60)
    finally:
        ready(1)
        Path("cleaned").touch()

def converting():
    try:
        ready(60)
    except BaseException:
        raise ImportError("a library could not be loaded") from None

def swallowing():
    slow = Slow()
    del slow
    time.sleep(60)

def loading():
    try:
        ready(60)
    except BaseException:
        os.abort()

def importing():
    cli._command("train", "train")

def at_its_end():
    atexit.register(ready, 60)
    stage()

sys.argv = ["vct", "check"]
"""
CLI = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from vct.lab.cli import entry; entry()"
)


@pytest.fixture
def start(tmp_path):
    """Start one of the commands above, with `change` made before."""
    started = []

    def begin(name, change="pass"):
        script = f"{BEFORE}\n{change}\ncli._call = lambda *_: {name}()\ncli.entry()"
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", script],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def ended(process, code=130, words="vct: stopped.\n"):
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (code, words)


@pytest.mark.parametrize("again", [0, 1, 3])
def test_ctrl_c_again_while_files_are_cleaned_up(start, tmp_path, again):
    process = start("stage")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ready\n"
    for _ in range(again):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    ended(process)
    assert (tmp_path / "cleaned").exists()


def test_the_first_signal_says_what_stopped_it(start, tmp_path):
    process = start("stage")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    ended(process, 143, "vct: stopped by SIGTERM.\n")
    assert (tmp_path / "cleaned").exists()


def test_a_cleaning_up_that_never_ends_is_ended(start, tmp_path):
    process = start("stage", "cli.stops.PATIENCE = 0")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    ended(process, words="")
    assert not (tmp_path / "cleaned").exists()


def test_what_a_library_makes_of_it_is_still_a_stop(start):
    process = start("converting")
    process.send_signal(signal.SIGINT)
    ended(process)


def test_a_signal_inside_a_callback_is_not_lost(start):
    """Python would print it, and go on."""
    process = start("swallowing")
    process.send_signal(signal.SIGINT)
    ended(process)


def test_while_libraries_are_loaded_it_ends_at_once(start):
    """Some abort at an exception."""
    process = start("importing", "cli.importlib.import_module = lambda _: loading()")
    process.send_signal(signal.SIGINT)
    ended(process)


def test_python_does_not_take_its_time_at_the_end(start):
    process = start("at_its_end")
    process.send_signal(signal.SIGINT)
    ended(process)


def test_what_the_shell_made_deaf_stays_deaf(start, tmp_path):
    """`vct train RUN &` in a script, when Ctrl-C is pressed for another program."""
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN); ready = lambda _: "
    process = start("stage", f"{deaf}print('ready', flush=True) or time.sleep(0.5)")
    process.send_signal(signal.SIGINT)
    ended(process, 0, "")
    assert (tmp_path / "cleaned").exists()


def test_impatience_with_several_processes(tmp_path):
    """Ctrl-C goes to all processes of the terminal, and again to those that the first started."""
    variants.make(tmp_path / "project")
    params = tmp_path / "project/params.yaml"
    params.write_text(params.read_text().replace("runtime:\n", "runtime:\n  processes: 2\n"))
    variant = variants.Variant("ot", "ict", "ve", "points", processes=2)
    process = subprocess.Popen(
        [sys.executable, "-c", CLI, "train", str(variant.run)],
        cwd=tmp_path / "project",
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while len(_loading(process.pid)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    for _ in range(5):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said and "stopped" in said


def _loading(parent):
    """The processes that `parent` started which load torch, or have it loaded."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in children if "libtorch" in Path(f"/proc/{pid}/maps").read_text()]


def test_one_that_waits_for_another_to_come(tmp_path):
    """It waits inside C, where no exception of Python's arrives."""
    store = tmp_path / "store"
    waiting = "from vct.lab.processes.group import joined_group\nwith joined_group(): pass"
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "VCT_STORE": str(store)}
    process = subprocess.Popen(
        [sys.executable, "-c", CLI.partition(";from")[0] + f"\n{waiting}"],
        stderr=subprocess.PIPE,
        env=os.environ | place,
    )
    while not store.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        assert process.communicate(timeout=20) == (None, b"")
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
