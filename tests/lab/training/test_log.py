"""Means over an interval, and the rows on disk."""

import json

import pytest
import torch

from vct.lab.processes.streams import say
from vct.lab.records import LogRow
from vct.lab.training.log import COLUMNS, LogFile, MetricAccumulator

CPU = torch.device("cpu")


def values(*numbers):
    return [torch.tensor(float(number)) for number in numbers]


def test_means_begin_anew_and_totals_go_on():
    metrics = MetricAccumulator(CPU)
    metrics.add(values(1, 2, 3, 4, 1, 0))
    metrics.add(values(3, 4, 5, 6, 0, 1))
    assert list(metrics.take().values()) == [2, 3, 4, 5, 0.5, 0.5, 3, 6]
    metrics.add(values(1, 1, 1, 1, 1, 1))
    assert list(metrics.take().values()) == [1, 1, 1, 1, 1, 1, 1, 1]
    assert metrics.totals.tolist() == [2, 2]


def test_metrics_survive_a_checkpoint_in_its_middle():
    metrics = MetricAccumulator(CPU)
    metrics.add(values(1, 2, 3, 4, 1, 0))
    kept = metrics.state()
    metrics.add(values(9, 9, 9, 9, 9, 9))
    resumed = MetricAccumulator(CPU)
    resumed.load(kept)
    resumed.add(values(-3, 1, 8, 6, 0, 1))
    assert list(resumed.take().values()) == [-1, 1.5, 5.5, 5, 0.5, 0.5, 1, 6]
    assert resumed.totals.tolist() == [1, 1]


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_a_spike_of_one_step_is_seen(wild):
    metrics = MetricAccumulator(CPU)
    for loss in (1.0, wild, 2.0):
        metrics.add(values(loss, 1, 0, 1, 0, 0))
    assert str(metrics.take()["loss_max"]) == str(wild)


NAMES = [name for name in LogRow.model_fields if name != "time"]


def row(step):
    return {name: step if name in ("step", "grid_points") else step / 3 for name in NAMES}


@pytest.fixture
def log(tmp_path):
    file = LogFile(tmp_path / "deep" / "log.jsonl")
    file.restore("")
    for step in (5, 10, 15):
        file.append(**row(step))
    return file


def steps(log):
    return [row.step for row in log.rows]


def test_rows_have_their_time(log):
    assert steps(log) == [5, 10, 15]
    assert all(row.time > 1.6e12 for row in log.rows)


def test_restored_as_it_was_whatever_happened_since(log):
    before, text = log.rows[:], log.text()
    log.append(**row(20))
    log.restore(text)
    assert log.rows == before
    log.path.write_text(text[:40])
    log.restore(text)
    log.append(**row(100))
    assert steps(log) == [5, 10, 15, 100]


@pytest.mark.parametrize("content", ["", "{", '{"step": 20}', "[" * 99_999, "\0\n"])
def test_what_happens_to_the_file_changes_no_result(log, content):
    before = log.csv()
    log.path.write_text(content)
    assert log.csv() == before
    log.restore(log.text())
    log.append(**row(20))
    assert steps(log) == [5, 10, 15, 20]
    assert len(log.path.read_text().splitlines()) == 4


def test_nobody_has_to_listen(monkeypatch):
    """A terminal that was closed, a pipe to an engine that was killed."""

    class Closed:
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    say("step 1")


def test_csv_holds_the_columns_exactly_and_no_times(log):
    header, *lines = log.csv().splitlines()
    assert header == "step,loss,consistency_loss,kl,grad_norm,learning_rate,grid_points"
    assert len(lines) == 3
    for line, step in zip(lines, (5, 10, 15), strict=True):
        assert [float(word) for word in line.split(",")] == [row(step)[name] for name in COLUMNS]


def test_what_is_not_finite_survives(log):
    log.append(**{**row(20), "grad_norm": float("nan"), "loss": float("-inf")})
    before = log.csv()
    log.restore(log.text())
    assert log.csv() == before
    assert before.splitlines()[-1].split(",")[1:5:3] == ["-inf", "nan"]
    json.loads(log.path.read_text().splitlines()[-1])
