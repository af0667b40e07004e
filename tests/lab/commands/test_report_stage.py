"""`vct report`: the page of a suite that was run here, with the times of its trainings."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vct.lab import cli

LOG = Path("state/small/variational/seed0/log.jsonl")


@pytest.fixture
def report(project, capsys):
    """Writes the page of the one finished run, and reads it."""
    assert cli.main(["floor", "small"]) == 0

    def write() -> str:
        assert cli.main(["report", "one", "--finished"]) == 0
        return Path("results/one/report.html").read_text(encoding="utf-8")

    return write


def test_the_page_says_when_a_run_was_trained_and_how_long(report):
    rows = [json.loads(line) for line in LOG.read_text().splitlines()]
    end = datetime.fromtimestamp(rows[-1]["time"] / 1000, UTC)
    html = report()
    assert f"<td>{end:%Y-%m-%d %H:%M:%S}</td><td>0:00:" in html
    assert html == report()


def test_pauses_do_not_count(report):
    """Two rows of 10 steps of 8 samples, at 2 and at 1 samples a second: 40 s and 80 s."""
    row = json.loads(LOG.read_text().splitlines()[-1])
    rows = [{**row, "step": 10, "samples_per_s": 2.0}, {**row, "step": 20, "samples_per_s": 1.0}]
    rows[1]["time"] += 10**9
    LOG.write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert "<td>0:02:00</td>" in report()


def test_the_log_of_another_training_is_not_told(report):
    started = LOG.with_name("started.json")
    record = json.loads(started.read_text())
    record["config"]["settings_sha256"] = "0" * 64
    started.write_text(json.dumps(record))
    text = re.sub(r"\s+", " ", report())
    assert "trained until" not in text and "they are not recorded here" in text


def test_all_runs_are_asked_for_without_the_option(report, refused):
    assert "small/independent/seed0/config.json is missing" in refused("report", "one")
