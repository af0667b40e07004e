"""Means over an interval, and the rows on disk."""

import json

import pytest
import torch

from vct.lab.training.log import COLUMNS, Interval, RowFile, say

CPU = torch.device("cpu")


def values(*numbers):
    return [torch.tensor(float(number)) for number in numbers]


def test_means_begin_anew_and_totals_go_on():
    interval = Interval(CPU)
    interval.add(values(1, 2, 3, 4, 1, 0))
    interval.add(values(3, 4, 5, 6, 0, 1))
    assert list(interval.take().values()) == [2, 3, 4, 5, 0.5, 0.5, 3, 6]
    interval.add(values(1, 1, 1, 1, 1, 1))
    assert list(interval.take().values()) == [1, 1, 1, 1, 1, 1, 1, 1]
    assert interval.totals.tolist() == [2, 2]


def test_interval_survives_a_checkpoint_in_its_middle():
    interval = Interval(CPU)
    interval.add(values(1, 2, 3, 4, 1, 0))
    kept = interval.state()
    interval.add(values(9, 9, 9, 9, 9, 9))
    resumed = Interval(CPU)
    resumed.load(kept)
    resumed.add(values(-3, 1, 8, 6, 0, 1))
    assert list(resumed.take().values()) == [-1, 1.5, 5.5, 5, 0.5, 0.5, 1, 6]
    assert resumed.totals.tolist() == [1, 1]


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_a_spike_of_one_step_is_seen(wild):
    interval = Interval(CPU)
    for loss in (1.0, wild, 2.0):
        interval.add(values(loss, 1, 0, 1, 0, 0))
    assert str(interval.take()["loss_max"]) == str(wild)


def row(step):
    return {name: step if name == "step" else 0.1 * step for name in COLUMNS}


@pytest.fixture
def rows(tmp_path):
    file = RowFile(tmp_path / "deep" / "log.jsonl")
    file.restore("")
    for step in (5, 10, 15):
        file.append({**row(step), "samples_per_s": 123.0})
    return file


def test_rows_come_back_with_their_time(rows):
    assert [entry["step"] for entry in rows.rows()] == [5, 10, 15]
    assert all(entry["time"] > 1.6e12 for entry in rows.rows())


def test_restored_as_it_was_whatever_happened_since(rows):
    before, text = rows.rows(), rows.text()
    rows.append(row(20))
    rows.restore(text)
    assert rows.rows() == before
    rows.path.write_text(text[:40])
    rows.restore(text)
    rows.append(row(100))
    assert [entry["step"] for entry in rows.rows()] == [5, 10, 15, 100]


@pytest.mark.parametrize("content", ["", "{", '{"step": 20}', "[" * 99_999, "\0\n"])
def test_what_happens_to_the_file_changes_no_result(rows, content):
    before = rows.csv()
    rows.path.write_text(content)
    assert rows.csv() == before
    rows.restore(rows.text())
    rows.append(row(20))
    assert [entry["step"] for entry in rows.rows()] == [5, 10, 15, 20]
    assert len(rows.path.read_text().splitlines()) == 4


def test_nobody_has_to_listen(monkeypatch):
    """A terminal that was closed, a pipe to an engine that was killed."""

    class Closed:
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    say("step 1")


def test_csv_holds_the_columns_exactly_and_no_times(rows):
    header, *lines = rows.csv().splitlines()
    assert header == "step,loss,consistency_loss,kl,grad_norm,learning_rate,grid_points"
    assert len(lines) == 3
    for line, step in zip(lines, (5, 10, 15), strict=True):
        assert [float(word) for word in line.split(",")] == list(row(step).values())


def test_not_a_number_survives(rows):
    rows.append({**row(20), "grad_norm": float("nan")})
    assert rows.csv().splitlines()[-1].split(",")[4] == "nan"
    assert json.loads(json.dumps(rows.rows()))
