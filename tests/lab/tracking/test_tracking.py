"""Tracking: every row once, whatever fails, and training never waits."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from tracking_support import (
    RUN,
    SOURCE,
    config,
    files,
    finish,
    history,
    opened,
    runs,
    write_log,
)

from vct.lab import tracking
from vct.lab.errors import UserError
from vct.lab.files.whole import write_json
from vct.lab.tracking import client as mlflow_client
from vct.lab.tracking import disk
from vct.lab.tracking.database import prepare
from vct.lab.tracking.run import RunTracker


def test_a_database_made_by_four_processes_at_once_is_whole_and_found_quickly(root):
    found = {each.name for each in mlflow_client.connect(root).search_experiments()}
    assert found == {"Default", "mixture"}
    start = time.process_time()
    prepare(root, ["mixture"])
    assert time.process_time() - start < 0.5
    assert [path.name for path in root.glob("*mlflow.db*")] == ["mlflow.db"]


def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not a database, " * 100)
    with pytest.raises(UserError, match="move it aside"):
        prepare(tmp_path)


def test_a_run_is_found_by_search_with_parameters_metrics_and_artifacts(root):
    write_log(root, [50, 100])
    finish(root, {"steps1": {"fid_classifier": 31.2}, "aggregate_variance": None})
    (files(root).results / "preview.png").write_bytes(b"png")
    sent = tracking.sync_run(root, RUN)
    assert sent.rows == 2
    client = mlflow_client.connect(root)
    experiment = client.get_experiment_by_name("digits").experiment_id
    query = f"tags.`vct.run` = '{RUN}' and params.`train.optimizer.lr` = '0.001'"
    (run,) = client.search_runs([experiment], f"{query} and metrics.`steps1.fid_classifier` < 32")
    assert run.info.run_name == "variational/seed0"
    assert run.info.status == "FINISHED"
    assert run.data.tags["vct.settings_sha256"] == "a" * 64
    assert math.isnan(run.data.metrics["aggregate_variance"])
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
        assert tracking.sync_run(root, RUN).mlflow_run == training.id
    assert history(root, training.id, "steps1.w2") == [0]
    assert len(runs(root)) == 1


def test_a_crash_in_the_middle_of_sending_leaves_each_step_once(root, monkeypatch):
    write_log(root, range(1, 1201))
    tracker = opened(root)
    send, calls = tracker.client.log_batch, []

    def failing(*arguments, **values):
        calls.append(1)
        if len(calls) == 2:
            raise ConnectionError("gone")
        send(*arguments, **values)

    monkeypatch.setattr(tracker.client, "log_batch", failing)
    with pytest.raises(ConnectionError):
        tracker.send_rows()
    assert history(root, tracker.id) == list(range(1, 501))
    tracker.send_rows()
    assert history(root, tracker.id) == list(range(1, 1201))
    assert history(root, tracker.id, "kl") == list(range(1, 1201))


def test_not_a_number_stays_visible(root):
    write_log(root, [1], loss=math.nan)
    write_log(root, [2], loss=None)
    tracker = opened(root)
    tracker.send_rows()
    values = tracker.client.get_metric_history(tracker.id, "loss")
    assert [math.isnan(metric.value) for metric in values] == [True, True]


def test_torn_lines_cost_no_whole_row(root):
    write_log(root, [1])
    log = files(root).state / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 2, "lo')
    write_log(root, [2, 3])
    log.write_text(log.read_text() + '{"step": 4')
    assert [row["step"] for row in files(root).rows(config())] == [1, 2, 3]


def test_without_a_log_the_rows_come_from_the_table(root):
    finish(root)
    (files(root).results / "training.csv").write_text("step,loss,kl\n50,0.5,nan\n100,inf,0.1\n")
    sent = tracking.sync_run(root, RUN)
    assert history(root, sent.mlflow_run) == [50, 100]
    assert math.isnan(
        mlflow_client.connect(root).get_metric_history(sent.mlflow_run, "kl")[0].value
    )


def test_long_parameters_are_cut_and_whole_in_the_artifact(root):
    settings = {"text": "x" * 7000, "k" * 300: 1}
    whole = config(**settings)
    tracker = RunTracker.open(mlflow_client.connect(root), files(root), whole)
    known = tracker.client.get_run(tracker.id).data.params
    assert len(known["text"]) == disk.MAX_VALUE
    assert max(len(key) for key in known) == disk.MAX_KEY
    artifact = root / "mlartifacts/digits" / tracker.id / "artifacts/config.json"
    assert json.loads(artifact.read_text()) == whole


def test_other_data_or_a_fresh_start_is_another_run(root):
    first = opened(root)
    other = {**config(), "data_sha256": "c" * 64}
    second = RunTracker.open(first.client, files(root), other)
    files(root).write_note(disk.Note(config(), since=int(time.time() * 1000)))
    third = opened(root)
    assert len({first.id, second.id, third.id}) == 3
    assert opened(root).id == third.id


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
    prepare(moved)
    client = mlflow_client.connect(moved)
    assert [each.path for each in client.list_artifacts(tracker.id)] == ["config.json"]
    place = client.get_experiment_by_name("digits").artifact_location
    assert place == str(moved / "mlartifacts/digits")


def test_training_is_followed_and_scored_as_one_run(root, capfd):
    with tracking.BackgroundSync(
        root, RUN, config(), fresh=True, delay=0, interval=0.2, patience=60
    ):
        write_log(root, [1, 2])
        deadline = time.monotonic() + 60
        while not runs(root) or not history(root, runs(root)[0].info.run_id):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert runs(root)[0].info.status == "RUNNING"
        with pytest.raises(UserError, match="is being trained"):
            tracking.sync_run(root, RUN)
        write_log(root, [3])
        finish(root)
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert history(root, run.info.run_id) == [1, 2, 3]
    assert run.data.metrics["summary.parameters"] == 10
    preview = files(root).results / "preview.png"
    preview.write_bytes(b"png")
    write_json(files(root).results / "metrics.json", {"steps1": {"w2": 0.1}})
    tracking.sync_run(root, RUN)
    (run,) = runs(root)
    assert run.data.metrics["steps1.w2"] == 0.1
    assert capfd.readouterr().err == ""


def test_an_absent_server_costs_a_line_and_is_caught_up_with(root, monkeypatch, capfd):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(tracking.Away, match="Connection refused") as away:
        prepare(root)
    assert "secret" not in str(away.value)
    start = time.monotonic()
    with tracking.BackgroundSync(root, RUN, config(), fresh=True, delay=0, interval=0.1):
        assert time.monotonic() - start < 1
        write_log(root, [1, 2])
        time.sleep(1)
    assert time.monotonic() - start < 12
    error = capfd.readouterr().err
    assert error.count("tracking is away") == 1
    assert "secret" not in error
    finish(root)
    with pytest.raises(UserError, match="vct track sync"):
        tracking.sync_run(root, RUN)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.sync_run(root, RUN).rows == 2


def test_a_server_that_never_answers_is_given_up_at_the_end(root, monkeypatch, capfd):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with tracking.BackgroundSync(root, RUN, config(), delay=0, patience=1):
            time.sleep(0.2)
        assert time.monotonic() - start < 4
    assert "tracking is away" in capfd.readouterr().err


def test_a_short_training_starts_no_process_and_is_sent_later(root):
    with tracking.BackgroundSync(root, RUN, config(), fresh=True) as sync:
        write_log(root, [1, 2])
        finish(root)
    assert sync._worker is None
    assert tracking.sync_run(root, RUN).rows == 2
    (run,) = runs(root)
    assert run.info.status == "FINISHED"


def test_switched_off_starts_and_writes_nothing(root, monkeypatch):
    with tracking.BackgroundSync(root, RUN, config(), enabled=False):
        pass
    monkeypatch.setenv("VCT_TRACKING", "off")
    with tracking.BackgroundSync(root, RUN, config()):
        pass
    assert not files(root).state.exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")],
)
def test_the_status_says_how_training_ended(error, status):
    from vct.lab.tracking.background import _status

    assert _status(error) == status


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
from vct.lab.tracking import sync_run
assert sync_run(Path(sys.argv[1]), sys.argv[2]).rows == 1
"""
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    subprocess.run([sys.executable, "-c", script, str(root), RUN], env=environment, check=True)


def test_the_interface_is_for_this_machine(root, monkeypatch):
    command = tracking.ui_command(root, port=5123)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "MLFLOW_DISABLE_TELEMETRY=true" in command
    assert f"sqlite:///{root}/mlflow.db" in command
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@example.org")
    with pytest.raises(UserError, match=r"https://example\.org"):
        tracking.ui_command(root)


def test_a_run_that_was_never_trained_is_refused(root):
    with pytest.raises(UserError, match="vct train"):
        tracking.sync_run(root, RUN)
