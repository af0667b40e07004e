"""Tracking: every row once, whatever fails, and training never waits."""

import json
import math
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import pytest
import yaml
from support import params
from tracking_support import (
    RUN,
    SOURCE,
    config,
    files,
    finish,
    history,
    opened,
    record,
    row,
    runs,
    start,
    write_log,
)

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.records import StartedRecord, read
from vct.lab.tracking import store, watch
from vct.lab.tracking.delivery import send
from vct.lab.tracking.files import RunFiles
from vct.lab.tracking.names import KEY_LENGTH, VALUE_LENGTH
from vct.lab.tracking.names import identity as tags
from vct.lab.tracking.store import Store, StoreUnavailable
from vct.lab.tracking.watch import following
from vct.lab.training.trainer import Trainer

W2 = "scores/1 step 2-Wasserstein distance"
ALONG = W2.replace("scores", "scores along training")


def test_a_database_made_by_four_processes_at_once_is_whole_and_found_quickly(root):
    found = {each.name for each in Store(root).connect().search_experiments()}
    assert found == {"Default"}
    start = time.process_time()
    Store(root).prepare()
    assert time.process_time() - start < 0.5
    assert [path.name for path in root.glob("*mlflow.db*")] == ["mlflow.db"]


def test_a_database_of_an_older_mlflow_is_upgraded_with_its_runs_and_a_copy_is_kept(root):
    """Also where it was put in place of the one that was ready."""
    write_log(root, [1])
    first = opened(root)
    first.send_rows()
    from alembic import command  # not before mlflow was told to call nobody
    from mlflow.store.db.utils import _get_alembic_config

    database = Store(root).database
    newest = store._revision(database)
    command.downgrade(_get_alembic_config(Store(root).uri), "-1")
    older = store._revision(database)
    assert older != newest
    Store(root).prepare()
    assert store._revision(database) == newest
    assert history(root, first.id) == [1]
    copy = database.with_name(f"mlflow.db.schema-{older}")
    assert store._revision(copy) == older
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT step FROM metrics WHERE key = 'training/loss'").fetchall() == [
            (1,)
        ]


def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not a database, " * 100)
    with pytest.raises(UserError, match="move it aside"):
        Store(tmp_path).prepare()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("./mlruns", "'./mlruns' is a folder"),
        ("/abs/mlruns", "is a folder"),
        ("file:", "'file:' is a folder"),
        ("file:///mlruns", "is a folder"),
        ("sqlite://", "'sqlite://' is not of the form sqlite:///FILE"),
        ("sqlite:///", "is not of the form"),
        ("sqlite:///:memory:", "is not of the form"),
        ("sqlite:///runs/", "is not of the form"),
        ("sqlite+pysqlite:///runs.db", "is not of the form"),
        ("SQLITE://me:secret@runs.db", "'sqlite://runs.db' is not of the form"),
        ("sqlite:///runs.db?timeout=3", "runs.db?timeout=3, as '?' is no part of a path"),
        ("sqlite:///a%3Fb.db", "'%3F' is no part of a path"),
        ("htp://somewhere", "htp://somewhere"),
    ],
)
def test_an_address_without_runs_is_refused_before_any_training(
    tmp_path, monkeypatch, capfd, uri, expected
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params()))
    finish(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["track", "init"]) == 2
    err = capfd.readouterr().err
    assert expected in err and "secret" not in err and "Traceback" not in err
    assert err.count("vct: error: ") == err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    if uri != "htp://somewhere":
        with pytest.raises(UserError, match=re.escape(expected)), following(RUN, root=tmp_path):
            raise AssertionError("it trains")
    # As if it had been changed since: one sentence for all runs.
    assert cli.main(["track", "scores", "cpu"]) == 0
    assert capfd.readouterr().err.count(expected) == (1 if uri != "htp://somewhere" else 0)


@pytest.mark.parametrize("name", ["a?b", "a%3Fb", "50%25"])
def test_a_project_where_mlflow_would_leave_files_elsewhere(tmp_path, monkeypatch, name):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / name
    finish(folder)
    with pytest.raises(UserError, match="rename the folder, name another place"):
        send(folder, RUN)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable):
        send(folder, RUN)


@pytest.mark.parametrize("name", ["a b", "a#b", "a%b", "a;b&c=d", "é:@$+'"])
def test_odd_paths_keep_all_inside_of_the_project(template, tmp_path, monkeypatch, name):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / name
    shutil.copytree(template, folder)
    write_log(folder, [1])
    finish(folder, {"steps1": {"w2": 0.5}})
    assert send(folder, RUN) == 1
    (run,) = runs(folder)
    client = Store(folder).connect()
    names = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert names == {"config.json", "metrics.json"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_is_found_by_search_with_parameters_metrics_and_artifacts(root):
    write_log(root, [50, 100])
    finish(root, {"steps1": {"fid_classifier": 31.2}, "aggregate_variance": None})
    (files(root).results / "preview.png").write_bytes(b"png")
    assert send(root, RUN) == 2
    client = Store(root).connect()
    experiment = client.get_experiment_by_name("digits").experiment_id
    query = f"tags.`vct.run` = '{RUN}' and params.`learning rate` = '0.001'"
    (run,) = client.search_runs(
        [experiment], f"{query} and metrics.`scores/1 step FD classifier` < 32"
    )
    assert run.info.run_name == "seed0 variational (digits)"
    assert run.info.status == "FINISHED"
    assert run.data.tags["vct.settings_sha256"] == "a" * 64
    assert math.isnan(run.data.metrics["whole run/aggregate_variance"])
    names = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert names == {"config.json", "metrics.json", "preview.png"}
    assert (root / "mlartifacts/digits" / run.info.run_id / "artifacts/preview.png").exists()


def test_resuming_enters_the_run_again_and_sends_no_step_twice(root):
    write_log(root, range(10, 60, 10))
    first = opened(root, running=True)
    first.send_rows()
    first.end("KILLED")
    (files(root).state / "log.jsonl").unlink()
    write_log(root, range(10, 100, 10), time=1)  # trained again from a checkpoint, at other times
    second = opened(root, running=True)
    assert second.id == first.id
    assert second.client.get_run(second.id).info.status == "RUNNING"
    assert second.send_rows() == 4
    second.end("FINISHED")
    assert history(root, first.id) == list(range(10, 100, 10))
    assert second.client.get_run(second.id).info.status == "FINISHED"


def test_scoring_enters_the_run_of_training_by_its_tags_alone(root):
    write_log(root, [50])
    training = opened(root)
    shutil.rmtree(files(root).state)
    finish(root, {"steps1": {"w2": 0.1}})
    for _ in range(2):
        send(root, RUN)
    assert history(root, training.id, W2) == [0]
    assert [run.info.run_id for run in runs(root)] == [training.id]


def test_the_latest_scores_count_be_they_larger_or_smaller(root):
    """MLflow itself shows the largest of those that have one step and one time."""
    write_log(root, [50])
    training = opened(root)
    for score in (0.3, 0.1, 0.2, 0.2):
        finish(root, {"steps1": {"w2": score}})
        (files(root).results / "trajectory.csv").write_text(f"step,w2\n25,{score}\n50,{score}\n")
        send(root, RUN)
        for shown in (*runs(root), row(root)):
            assert shown.data.metrics[W2] == score
            assert shown.data.metrics[ALONG] == score
    assert len(training.client.get_metric_history(training.id, W2)) == 3
    assert len(training.client.get_metric_history(training.id, ALONG)) == 6


def test_a_crash_in_the_middle_of_sending_leaves_each_step_once(root, monkeypatch):
    write_log(root, range(1, 1201))
    first = opened(root)
    log_batch, calls = first.client.log_batch, []

    def failing(*arguments, **values):
        calls.append(1)
        if len(calls) == 2:
            raise ConnectionError("gone")
        log_batch(*arguments, **values)

    monkeypatch.setattr(first.client, "log_batch", failing)
    with pytest.raises(ConnectionError):
        first.send_rows()
    assert history(root, first.id) == list(range(1, 501))
    second = opened(root)
    assert second.send_rows() == 700 and second.id == first.id
    assert history(root, first.id) == list(range(1, 1201))
    assert history(root, first.id, "training/kl") == list(range(1, 1201))


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "its answer is lost"])
def test_a_send_that_fails_loses_no_row_and_sends_none_twice(root, monkeypatch, arrives):
    """By the watcher, which goes on."""
    start(root)
    write_log(root, [2, 10])
    watcher = watch.Watcher(files(root), os.getppid(), 0.1, os.open(os.devnull, os.O_WRONLY))
    assert watcher._attempt(None)
    client, arrived, failures = type(watcher.tracked.client), [], [ConnectionError("gone")]
    log_batch = client.log_batch

    def failing(self, run, metrics=(), **values):
        if arrives or not failures or not metrics:
            log_batch(self, run, metrics=metrics, **values)
            arrived.extend(metric.step for metric in metrics if metric.key == "training/loss")
        if metrics and failures:
            raise failures.pop()

    monkeypatch.setattr(client, "log_batch", failing)
    write_log(root, [100])
    assert not watcher._attempt(None)
    for step in (110, 120):
        write_log(root, [step])
        assert watcher._attempt(None)
    assert arrived == [100, 110, 120]
    (run,) = runs(root)
    assert history(root, run.info.run_id) == [2, 10, 100, 110, 120]


def test_the_later_of_two_rows_of_a_step_counts(root):
    """The first is of a process that was killed, and went on from before."""
    write_log(root, [2, 10], loss=9.0)
    write_log(root, [10, 100], loss=0.5)
    tracked = opened(root)
    assert tracked.send_rows() == 3
    sent = tracked.client.get_metric_history(tracked.id, "training/loss")
    assert {metric.step: metric.value for metric in sent} == {2: 9.0, 10: 0.5, 100: 0.5}


def test_not_a_number_stays_visible(root):
    write_log(root, [1], loss=math.nan)
    write_log(root, [2], loss=None)
    tracker = opened(root)
    tracker.send_rows()
    values = tracker.client.get_metric_history(tracker.id, "training/loss")
    assert [math.isnan(metric.value) for metric in values] == [True, True]


def test_torn_lines_cost_no_whole_row(root):
    write_log(root, [1])
    log = files(root).state / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 2, "lo')
    write_log(root, [2, 3])
    log.write_text(log.read_text() + '{"step": 4')
    start(root)
    assert [row["step"] for row in files(root).rows()] == [1, 2, 3]


def test_without_a_log_the_rows_come_from_the_table(root):
    finish(root)
    (files(root).results / "training.csv").write_text("step,loss,kl\n50,0.5,nan\n100,inf,0.1\n")
    assert send(root, RUN) == 2
    (run,) = runs(root)
    assert history(root, run.info.run_id) == [50, 100]
    first, _ = Store(root).connect().get_metric_history(run.info.run_id, "training/kl")
    assert math.isnan(first.value)


def test_long_parameters_are_cut_and_whole_in_the_artifact(root):
    settings = {"coupling": {"text": "x" * 7000, "k" * 300: 1}}
    tracked = opened(root, settings=config(**settings)["settings"])
    known = tracked.client.get_run(tracked.id).data.params
    assert len(known["coupling.text"]) == VALUE_LENGTH
    assert max(len(key) for key in known) == KEY_LENGTH
    artifact = root / "mlartifacts/digits" / tracked.id / "artifacts/config.json"
    assert json.loads(artifact.read_text()) == config(**settings)


def test_other_data_or_a_fresh_start_is_another_run(root):
    first = opened(root)
    second = opened(root, data_sha256="c" * 64)
    start(root, int(time.time() * 1000))
    third = opened(root)
    assert len({first.id, second.id, third.id}) == 3
    assert opened(root).id == third.id
    start(root, int(time.time() * 1000) + 1)
    assert opened(root).id != third.id


def test_a_run_is_the_one_that_was_noted_not_a_later_twin(root):
    """Two copies of a project may train the same run, and send it to one server."""
    here = opened(root)
    twin = here.client.create_run(
        here.client.get_run(here.id).info.experiment_id, tags=tags(record())
    )
    assert opened(root).id == here.id
    files(root).note.write_text('{"uri": 3}')  # nothing that can be used: the latest is taken
    assert opened(root).id == twin.info.run_id


def test_a_log_of_other_settings_is_not_sent(root):
    start(root, data_sha256="c" * 64)
    write_log(root, [1, 2])
    finish(root)  # put there by DVC, say
    (files(root).results / "training.csv").write_text("step,loss\n50,0.5\n")
    assert send(root, RUN) == 1


def test_a_deleted_run_or_database_is_made_again(root):
    write_log(root, [1, 2])
    first = opened(root)
    first.client.delete_run(first.id)
    second = opened(root)
    assert second.id != first.id
    assert second.send_rows() == 2


def test_artifacts_follow_a_moved_folder(root, tmp_path):
    tracker = opened(root)
    moved = tmp_path / "moved"
    root.rename(moved)
    Store(moved).prepare()
    client = Store(moved).connect()
    assert [each.path for each in client.list_artifacts(tracker.id)] == ["config.json"]
    place = client.get_experiment_by_name("digits").artifact_location
    assert place == str(moved / "mlartifacts/digits")


def test_training_is_followed_and_scored_as_one_run(root, capfd):
    finish(root, {"steps1": {"w2": 0.3}})  # an earlier training
    time.sleep(0.02)
    start(root)
    with following(RUN, root=root, delay=0, interval=0.2, patience=60):
        write_log(root, [1, 2])
        deadline = time.monotonic() + 60
        while not runs(root) or not history(root, runs(root)[0].info.run_id):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert runs(root)[0].info.status == "RUNNING"
        with pytest.raises(UserError, match="is being trained"):
            send(root, RUN)
        write_log(root, [3])
        finish(root)
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert history(root, run.info.run_id) == [1, 2, 3]
    assert run.data.metrics["whole run/parameters"] == 10 and W2 not in run.data.metrics
    (files(root).results / "preview.png").write_bytes(b"png")
    finish(root, {"steps1": {"w2": 0.1}})
    send(root, RUN)
    (run,) = runs(root)
    assert run.data.metrics[W2] == 0.1
    assert capfd.readouterr().err == ""


def test_an_absent_server_costs_a_line_and_is_caught_up_with(root, monkeypatch, capfd):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match="Connection refused") as away:
        Store(root).prepare()
    assert "secret" not in str(away.value)
    start(root)
    begin = time.monotonic()
    with following(RUN, root=root, delay=0, interval=0.1):
        assert time.monotonic() - begin < 1
        write_log(root, [1, 2])
        time.sleep(1)
    assert time.monotonic() - begin < 12
    error = capfd.readouterr().err
    assert error.count("tracking is away") == 1
    assert "secret" not in error
    finish(root)
    with pytest.raises(UserError, match="vct track sync"):
        send(root, RUN)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert send(root, RUN) == 2


def test_a_server_that_never_answers_is_given_up_at_the_end(root, monkeypatch, capfd):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start(root)
        begin = time.monotonic()
        with following(RUN, root=root, delay=0, patience=1):
            time.sleep(0.2)
        assert time.monotonic() - begin < 4
    assert "tracking is away" in capfd.readouterr().err


def test_a_short_training_starts_no_process_and_is_sent_later(root, monkeypatch):
    monkeypatch.setattr(watch.WatcherProcess, "_start", lambda self: pytest.fail("started"))
    start(root)
    with following(RUN, root=root):
        write_log(root, [1, 2])
        finish(root)
    assert send(root, RUN) == 2
    (run,) = runs(root)
    assert run.info.status == "FINISHED"


def test_switched_off_starts_nothing(root, monkeypatch):
    monkeypatch.setattr(watch, "WatcherProcess", None)
    with following(RUN, root=root, enabled=False):
        pass
    monkeypatch.setenv("VCT_TRACKING", "off")
    with following(RUN, root=root):
        pass


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "word"),
    [(None, "KILLED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (Stopped, "KILLED")],
)
def test_an_exception_says_what_a_training_is_that_did_not_finish(root, monkeypatch, error, word):
    said = []
    monkeypatch.setattr(watch.WatcherProcess, "end", lambda self, word, patience: said.append(word))
    with suppress(error or ()), following(RUN, root=root, stops=Stopped, delay=3600):
        if error:
            raise error
    assert said == [word]


@pytest.mark.parametrize(
    ("word", "done", "status"),
    [("FAILED", False, "FAILED"), ("KILLED", False, "KILLED"), ("KILLED", True, "FINISHED")],
)
def test_the_status_comes_from_the_files_first(root, monkeypatch, word, done, status):
    start(root)
    write_log(root, [1])
    if done:
        finish(root)
    (root / "word").write_text(word)
    with (root / "word").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert watch.Watcher(files(root), os.getppid(), 0.1, 2).run() == 0
    (run,) = runs(root)
    assert run.info.status == status and history(root, run.info.run_id) == [1]


BEGAN, ENDED = 1_700_000_000_000, 1_700_000_060_000


def finished_at(root, when, log=True):
    """The outputs of a training that ended at `when`, in milliseconds since 1970."""
    if log:
        write_log(root, [2], time=when)
    finish(root)
    os.utime(files(root).results / "config.json", (when / 1000, when / 1000))


def times(root):
    """Status, start and end of the one run."""
    (run,) = runs(root)
    return run.info.status, run.info.start_time, run.info.end_time


def test_a_training_lasts_from_its_start_to_its_end_though_it_is_sent_late(root):
    start(root, time=BEGAN)
    write_log(root, [1])
    finished_at(root, ENDED)
    for touched in (ENDED + 86_400_000, ENDED, 0):
        os.utime(files(root).results / "config.json", (touched / 1000, touched / 1000))
        send(root, RUN)
        assert times(root) == ("FINISHED", BEGAN, ENDED)


def test_a_training_that_is_sent_while_it_trains_lasts_as_long(root):
    start(root, time=BEGAN)
    write_log(root, [1])
    opened(root, running=True).send_rows()
    assert times(root) == ("RUNNING", BEGAN, None)
    finished_at(root, ENDED)
    send(root, RUN)  # the watcher had died
    assert times(root) == ("FINISHED", BEGAN, ENDED)


def test_a_training_that_went_on_began_when_it_first_did(root):
    start(root, time=BEGAN)
    first = opened(root, running=True)
    first.end("KILLED")
    assert opened(root, running=True).id == first.id
    finished_at(root, ENDED)
    send(root, RUN)
    assert times(root) == ("FINISHED", BEGAN, ENDED)


def test_a_run_that_was_brought_here_has_no_other_time_than_its_files(root):
    finished_at(root, ENDED, log=False)
    table = files(root).results / "training.csv"
    table.write_text("step,loss\n50,0.5\n")
    os.utime(table, (ENDED / 1000, ENDED / 1000))
    send(root, RUN)
    assert times(root) == ("FINISHED", ENDED, ENDED)
    (run,) = runs(root)
    (loss,) = Store(root).connect().get_metric_history(run.info.run_id, "training/loss")
    assert loss.timestamp == ENDED


@pytest.mark.parametrize("stopped", [False, True], ids=["it runs", "it was stopped"])
def test_results_of_an_earlier_training_are_not_those_of_one_that_runs(root, stopped):
    """It is to write into the folder in which they still lie."""
    finish(root, {"steps1": {"w2": 0.1}})
    (files(root).results / "training.csv").write_text("step,loss\n50,0.5\n")
    os.utime(files(root).results / "config.json", (1, 1))
    (root / RUN.unfinished).parent.mkdir(parents=True)
    (root / RUN.unfinished).touch()
    start(root, time=BEGAN)
    write_log(root, [1, 2])
    if stopped:
        assert watch.Watcher(files(root), os.getppid(), 0.1, 2)._attempt("KILLED")
    send(root, RUN)
    (run,) = runs(root)
    assert run.info.status == ("KILLED" if stopped else "RUNNING")
    assert set(run.data.metrics) == {"training/loss", "training/kl"} and history(
        root, run.info.run_id
    ) == [1, 2]
    names = Store(root).connect().list_artifacts(run.info.run_id)
    assert {each.path for each in names} == {"config.json"}


def test_scores_of_an_earlier_training_are_not_those_of_one_that_has_ended(root):
    """They lie there until the new one is scored."""
    finish(root, {"steps1": {"w2": 0.1}})
    (files(root).results / "preview.png").write_bytes(b"png")
    start(root, time=BEGAN)
    write_log(root, [1])
    watcher = watch.Watcher(files(root), os.getppid(), 0.1, 2)
    assert watcher._attempt("KILLED")
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert set(run.data.metrics) == {"training/loss", "training/kl", "whole run/parameters"}
    names = Store(root).connect().list_artifacts(run.info.run_id)
    assert {each.path for each in names} == {"config.json"}


def test_a_training_of_other_settings_here_dates_no_run_that_was_brought(root):
    """Its results are older than the training, and belong to the run that was sent long ago."""
    finish(root)
    first = opened(root)
    start(root, time=int(time.time() * 1000) + 60_000, data_sha256="c" * 64)
    files(root).note.unlink()
    assert opened(root).id == first.id


def test_a_finished_run_is_finished_whatever_the_times_of_its_files(root):
    """Copies may put them in another order; only an unfinished training is marked."""
    finish(root)
    start(root)
    os.utime(files(root).results / "config.json", (1, 1))
    assert files(root).config()[1]
    (root / RUN.unfinished).touch()
    assert not files(root).config()[1]
    # Ended, and killed before the mark was removed.
    begun = (root / RUN.started).stat().st_mtime
    os.utime(files(root).results / "config.json", (begun + 1, begun + 1))
    assert files(root).config()[1]


def test_sqlite_needs_no_network_and_no_git(root):
    write_log(root, [1])
    finish(root)
    script = """
import sys
def watch(event, arguments):
    program = event == "subprocess.Popen" and arguments[0] != "uname"  # Python's own, for platform
    if program or event in ("socket.connect", "socket.getaddrinfo", "os.exec"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(watch)
from pathlib import Path
from vct.lab.files.layout import RunId
from vct.lab.tracking.delivery import send
assert send(Path(sys.argv[1]), RunId.parse(sys.argv[2])) == 1
"""
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    subprocess.run([sys.executable, "-c", script, str(root), str(RUN)], env=environment, check=True)


def test_a_run_that_was_never_trained_is_refused(root):
    with pytest.raises(UserError, match="vct train"):
        send(root, RUN)


def test_training_says_what_it_is_and_since_when(tmp_path, monkeypatch):
    """Before its first step; going on keeps the time, a fresh start is another training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCT_TRACKING", "off")
    changes = {"experiments.small.train.steps": 2, "experiments.small.train.snapshots": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    run = RunId.parse("small/independent/seed0")

    def train(*options):
        code = cli.main(["train", str(run), *options])
        return code, read(StartedRecord, run.started).time, *RunFiles(tmp_path, run).config()

    def stop(self):
        raise UserError("no more")

    assert cli.main(["data", "points"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stop)
        code, begun, started, complete = train()
        assert code == 2 and not complete
    code, again, trained, complete = train()
    assert code == 0 and again == begun and complete
    assert tags(trained) == tags(started) and trained.files
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stop)
        code, fresh, _, complete = train("--fresh")
    assert code == 2 and fresh > begun and not complete


def test_the_load_of_the_machine_is_sent_only_where_it_is_on(root):
    """By MLflow's own thread, in the watching process; what it has collected is sent at the end."""
    start(root)
    write_log(root, [1])
    for on in (False, True):
        watcher = watch.Watcher(files(root), os.getppid(), 3600, os.open(os.devnull, 1), on)
        assert watcher._attempt(None)
        if on:
            watcher._monitor.collect_metrics()
            watcher._monitor.publish_metrics(watcher._monitor.aggregate_metrics())
        assert watcher._attempt("KILLED")
        (run,) = runs(root)
        assert any(key.startswith("system/") for key in run.data.metrics) is on
