"""Whatever happens to MLflow, training goes on, and each step is there once in the end."""

import http.server
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import yaml
from mlflow_server import Server
from support import ROOT, params
from tracking_support import (
    RUN,
    SOURCE,
    config,
    files,
    finish,
    history,
    opened,
    runs,
    start,
    write_log,
)

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.locks import locked
from vct.lab.files.whole import write_json
from vct.lab.tracking import store, watch
from vct.lab.tracking.delivery import send
from vct.lab.tracking.store import StoreUnavailable, is_unavailable, reason
from vct.lab.tracking.watch import following

# A library of MLflow's server; it says so when the server is first asked.
pytestmark = pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi")

PATIENCE = 60.0
"""Seconds after which a test fails; none waits for so long."""


@pytest.fixture(scope="module")
def served(template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(template / "mlflow.db", folder)
    server = Server(folder)
    yield server
    server.stop()


@pytest.fixture
def server(served, monkeypatch):
    """A well server that runs are sent to."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.uri)
    monkeypatch.delenv("VCT_TRACKING", raising=False)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    served.lose(None)
    yield served
    served.lose(None)


def until(condition):
    """Wait until `condition()` is true; return what it gave."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def of(root, name):
    """The MLflow runs of the data called `name`: tests share a server."""
    return [run for run in runs(root) if run.data.tags["vct.data_sha256"] == name]


def test_a_lost_answer_to_any_request_leaves_one_run_with_each_step_once(server, tmp_path):
    """The server does what it is asked and cannot say so; that it dies before the next request
    leaves the same behind."""
    number, met = 0, True
    while met:
        name, root = f"lost {number}", tmp_path / str(number)
        start(root, int(time.time() * 1000), data_sha256=name)
        write_log(root, [1, 2, 3])
        finish(root, {"steps1": {"w2": 0.5}}, data_sha256=name)
        server.lose(number)
        try:
            send(root, RUN)
        except StoreUnavailable as away:
            assert "500" in str(away)
            server.lose(None)
            send(root, RUN)
        else:
            met = False
            assert server.requests <= number
            server.lose(None)
        (run,) = of(root, name)
        assert history(root, run.info.run_id) == [1, 2, 3]
        assert (
            run.info.status == "FINISHED"
            and run.data.metrics["scores/1 step 2-Wasserstein distance"] == 0.5
        )
        number += 1
    assert number > 10


def test_a_server_that_dies_and_comes_back(server, tmp_path, capfd, monkeypatch):
    """One training: tracked, server away, server back, stopped, resumed, finished."""
    name, told = "dies", []
    warn = watch.WatcherProcess._warn
    monkeypatch.setattr(watch.WatcherProcess, "_warn", lambda *why: (warn(*why), told.append(why)))

    def sent():
        return of(tmp_path, name) and history(tmp_path, of(tmp_path, name)[0].info.run_id)

    begun = int(time.time() * 1000)
    start(tmp_path, begun, data_sha256=name)
    with (
        pytest.raises(KeyboardInterrupt),
        following(RUN, root=tmp_path, delay=0, interval=0.1, patience=PATIENCE),
    ):
        write_log(tmp_path, [1, 2])
        until(lambda: sent() == [1, 2])
        server.stop()
        write_log(tmp_path, [3])
        until(lambda: told)
        server.start()
        until(lambda: sent() == [1, 2, 3])
        raise KeyboardInterrupt  # as a kill looks to MLflow
    assert of(tmp_path, name)[0].info.status == "KILLED"
    err = capfd.readouterr().err
    assert err.count("\n") == err.count("tracking is away") == 1 and "Connection refused" in err
    (files(tmp_path).state / "log.jsonl").unlink()
    write_log(tmp_path, [1])  # resumed from a checkpoint before the kill
    start(tmp_path, begun, data_sha256=name)
    with following(RUN, root=tmp_path):
        write_log(tmp_path, [2, 3, 4])
        finish(tmp_path, data_sha256=name)
    assert send(tmp_path, RUN) == 1
    (run,) = of(tmp_path, name)
    assert sent() == [1, 2, 3, 4] and run.info.status == "FINISHED"


TRAINING = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tracking_support import RUN, start, write_log
from vct.lab.tracking.watch import following
root = Path(sys.argv[1])
start(root)
with following(RUN, root=root, delay=0, interval=0.1):
    write_log(root, [1, 2])
    print("trains", flush=True)
    time.sleep(600)
"""


def test_a_training_that_is_killed_with_sigkill(root):
    """Its watcher notices, says KILLED to MLflow and ends; resumed, the run ends FINISHED."""
    command = [sys.executable, "-c", TRAINING, str(root), str(ROOT / "tests")]
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as training:
        assert training.stdout.readline() == b"trains\n"
        until(lambda: runs(root) and history(root, runs(root)[0].info.run_id) == [1, 2])
        training.kill()
    until(lambda: runs(root)[0].info.status == "KILLED")
    with locked(files(root).lock):  # free again: the watcher has ended
        pass
    start(root)
    with following(RUN, root=root):
        write_log(root, [2, 3])
        finish(root)
    assert send(root, RUN) == 1
    (run,) = runs(root)
    assert run.info.status == "FINISHED" and history(root, run.info.run_id) == [1, 2, 3]


def test_a_killed_watcher_costs_a_line_at_once(root, capfd, monkeypatch):
    begun, told = [], threading.Event()
    begin, warn = watch.WatcherProcess._start, watch.WatcherProcess._warn
    monkeypatch.setattr(
        watch.WatcherProcess, "_start", lambda self: begun.append(begin(self)) or begun[0]
    )
    monkeypatch.setattr(watch.WatcherProcess, "_warn", lambda *why: (warn(*why), told.set()))
    start(root)
    with following(RUN, root=root, delay=0):
        until(lambda: begun)[0].send_signal(signal.SIGKILL)
        assert told.wait(PATIENCE)
        write_log(root, [1, 2])
        finish(root)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "its process ended with code -9" in err
    assert send(root, RUN) == 2


HOLD = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], isolation_level=None) as held:
    held.execute("BEGIN EXCLUSIVE")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(root, monkeypatch):
    """The database is locked by another process, until this is called."""
    monkeypatch.setattr(store, "PATIENCE", 0.01)
    command = [sys.executable, "-c", HOLD, str(root / "mlflow.db")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    yield holder.communicate
    holder.communicate()


def test_a_locked_database_stops_no_training_and_is_sent_later(root, held, monkeypatch, capfd):
    monkeypatch.chdir(root)
    write_params(root)
    capfd.readouterr()
    assert cli.main(["track", "init"]) == 0  # the stage that all trainings wait for
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "is away (database is locked)" in err and "Traceback" not in err
    marker = (root / "results/tracking.json").read_bytes()
    write_log(root, [1, 2])
    finish(root)
    with pytest.raises(StoreUnavailable, match="locked"):
        send(root, RUN)
    held()
    assert send(root, RUN) == 2
    assert history(root, runs(root)[0].info.run_id) == [1, 2]
    # To DVC too it is the same stage: other bytes would train everything again.
    assert cli.main(["track", "init"]) == 0
    assert (root / "results/tracking.json").read_bytes() == marker


def test_a_lock_met_by_mlflow_itself_is_away_too():
    from mlflow.exceptions import MlflowException

    locked = MlflowException("(sqlite3.OperationalError) database is locked\n[SQL: ...]")
    assert (
        is_unavailable(locked) and reason(locked) == "(sqlite3.OperationalError) database is locked"
    )
    assert is_unavailable(sqlite3.OperationalError("database is locked"))
    assert is_unavailable(MlflowException("x", error_code=14))  # permission denied
    assert not is_unavailable(MlflowException("x", error_code=1000))  # a parameter is not right
    assert not is_unavailable(KeyError("x"))
    cause = "Max retries exceeded (Caused by ResponseError('too many 500 error responses'))"
    assert reason(OSError(cause)) == "ResponseError('too many 500 error responses')"


def write_params(root):
    (root / "params.yaml").write_text(yaml.safe_dump(params()))


class Ill(http.server.BaseHTTPRequestHandler):
    """Answers everything with error 500 and counts."""

    asked, status = 0, 500

    def answer(self):
        type(self).asked += 1
        self.send_error(self.status)

    do_GET = do_POST = answer

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("command", [["track", "sync"], ["track", "scores", "one"]])
def test_one_sentence_for_all_runs_when_mlflow_is_ill(tmp_path, monkeypatch, capfd, command):
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    for run in ("small/independent/seed0", "small/independent/seed1"):
        write_json(RunId.parse(run).directory / "config.json", {**config(), "run": run})
    Ill.asked = 0
    with http.server.HTTPServer(("127.0.0.1", 0), Ill) as ill:
        threading.Thread(target=ill.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{ill.server_port}")
        code = cli.main(command)
        ill.shutdown()
    assert code == (2 if command[1] == "sync" else 0)
    err = capfd.readouterr().err
    assert err.count("\n") == err.count("is away (it answers with error 500)") == 1
    assert "secret" not in err and "vct track sync" in err
    assert Ill.asked == 1
    assert (tmp_path / "results/one/tracked.json").exists() == (code == 0)


@pytest.mark.parametrize("status", [401, 403, 500])
@pytest.mark.parametrize("command", [["track", "ui", "one"], ["track", "sync"]])
def test_a_server_that_refuses_is_a_sentence(tmp_path, monkeypatch, capfd, command, status):
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    run = "small/independent/seed0"
    write_json(RunId.parse(run).directory / "config.json", {**config(), "run": run})
    refusing = type("Refusing", (Ill,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv(
            "MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{server.server_port}"
        )
        code = cli.main(command)
        server.shutdown()
    err = capfd.readouterr().err
    assert code == 2 and err.count("\n") == 1 and str(status) in err
    assert "secret" not in err and "Traceback" not in err


def test_a_run_that_mlflow_refuses_does_not_keep_back_the_others(root, monkeypatch, capfd):
    monkeypatch.chdir(root)
    write_params(root)
    first, second = "small/independent/seed0", "small/independent/seed1"
    for run in (first, second):
        write_json(RunId.parse(run).directory / "config.json", {**config(), "run": run})
    (RunId.parse(first).directory / "config.json").write_text('{"run": 3}')
    assert cli.main(["track", "scores", "one"]) == 0
    err = capfd.readouterr().err
    assert "config.json is damaged" in err and "is away" not in err
    assert [run.data.tags["vct.run"] for run in runs(root, "small")] == [second]


@pytest.mark.parametrize("target", ["threading.Thread.start", "subprocess.Popen.__init__"])
def test_no_thread_and_no_process_to_be_had(tmp_path, monkeypatch, capfd, target):
    def refuse(*arguments, **options):
        raise RuntimeError("can't start new thread") if "Thread" in target else OSError(11, "no")

    told = []
    warn = watch.WatcherProcess._warn
    monkeypatch.setattr(watch.WatcherProcess, "_warn", lambda *why: (warn(*why), told.append(why)))
    monkeypatch.setattr(target, refuse)
    with following(RUN, root=tmp_path, delay=0):
        until(lambda: told)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "tracking is away" in err and "Traceback" not in err


def test_a_closed_stderr_stops_no_training(tmp_path, monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

        flush = write

    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr("threading.Thread.start", lambda self: exec("raise RuntimeError"))
    with following(RUN, root=tmp_path, delay=0):
        pass


def test_a_second_sync_of_a_run_does_not_wait(root):
    write_log(root, [1])
    finish(root)
    with locked(files(root).lock), pytest.raises(UserError, match="another process"):
        send(root, RUN)
    assert opened(root).send_rows() == 1
