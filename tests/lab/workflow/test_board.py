"""What is shown of jobs: a line for each that ends, what is left, and at last what to do."""

import os
import time

import pytest

from vct.lab.workflow.board import AFTER, AT_ONCE, Board, plain, reason


class Seen:
    """A board, what it wrote, and its clock."""

    def __init__(self, folder, **counts):
        self.lines, self.now, self.folder = [], 0.0, folder
        self.board = Board(self.lines.append, lambda: self.now)
        self.board.planned(counts)

    def start(self, number, rule="train", *names):
        logs = [str(self.folder / name) for name in names or [f"{number}.log"]]
        self.board.started(number, f"{rule} run{number}", rule, logs, time.time())

    def finish(self, number, rule="train", seconds=10.0):
        self.start(number, rule)
        self.now += seconds
        self.board.finished(number)

    def say(self, number, text, later=0):
        """Write a job's log, so many seconds from now."""
        path = self.folder / (number if isinstance(number, str) else f"{number}.log")
        path.write_text(text)
        os.utime(path, (time.time() + later, time.time() + later))


@pytest.fixture
def seen(tmp_path):
    return Seen(tmp_path, train=2, score=2)


def test_a_line_for_each_job_and_one_for_all(seen):
    for number, rule in enumerate(("train", "score", "train", "score")):
        seen.finish(number, rule)
    assert len(seen.lines) == 5
    assert " ".join(seen.lines[0].split()) == "[1/4] train run0 10 s about 30 s left"
    assert " ".join(seen.lines[3].split()) == "[4/4] score run3 10 s"
    assert seen.lines[4] == "4 jobs done in 40 s."


def test_nothing_is_foretold_before_a_training_has_told_of_itself(seen):
    seen.finish(0, "score")
    assert seen.board.left() is None
    seen.start(1)
    seen.now += 10
    assert seen.board.left() is None
    seen.say(1, "25/100 steps (25 %), 3/s, 30 s left\n")
    # 40 s for each training, of which 10 s have passed, and 10 s for the other score.
    assert seen.board.left() == 30 + 40 + 10
    assert seen.board.now() == "about 80 s left; train run1 25%"


def test_jobs_side_by_side_share_the_time(seen):
    seen.start(0)
    seen.start(1)
    seen.now += 10
    seen.board.finished(0)
    assert seen.board.left() == (10 - 10 + 2 * 10) / 2


def test_an_older_log_tells_nothing_of_a_job(seen):
    seen.say(0, "90/100 steps (90 %), 3/s, 3 s left\nvct: error: of last time.\n", later=-1)
    seen.start(0)
    seen.now += 1
    assert seen.board.now() == "train run0"
    seen.board.broke(0)
    assert "of last time" not in " ".join(seen.lines)
    assert "ended without a word" in seen.board.last_words()[-1]


def test_a_failure_is_shown_whole_and_its_sentence_is_the_last_line(seen, tmp_path):
    seen.finish(0)
    seen.start(1)
    seen.say(
        1, "5/9 steps (50 %), 1/s, 4 s left\nwarning: hot.\n\nvct: error: it broke; mend it.\n"
    )
    seen.board.broke(1)
    seen.finish(2, "score")
    log = tmp_path / "1.log"
    assert seen.lines[1].startswith("[1/4] train run1 ") and str(log) in seen.lines[1]
    assert seen.lines[2:4] == ["    warning: hot.", "    vct: error: it broke; mend it."]
    assert seen.board.last_words() == [
        "2 of 4 jobs are done; the same command goes on after them.",
        f"Failed: train run1; its log is {log}.",
        "vct: error: it broke; mend it.",
    ]


def test_a_job_that_ended_before_one_heard_of_it_is_heard(seen):
    since = time.time()
    seen.say(0, "vct: error: it broke; mend it.\n")
    seen.board.started(0, "train run0", "train", [str(seen.folder / "0.log")], since)
    seen.board.broke(0)
    assert seen.board.last_words()[-1] == "vct: error: it broke; mend it."


def test_who_ran_a_job_is_heard_where_it_said_nothing_itself(seen):
    seen.start(0)
    seen.say("slurm.log", "out of memory\n")
    seen.board.broke(0, [str(seen.folder / "slurm.log")])
    assert seen.lines[1] == "    out of memory"
    assert "slurm.log" in seen.board.last_words()[-1]


def test_its_own_words_go_before_those_of_who_ran_it(seen):
    seen.start(0)
    seen.say(0, "vct: error: it broke; mend it.\n")
    seen.say("slurm.log", "slurmstepd: error\n")
    seen.board.broke(0, [str(seen.folder / "slurm.log")])
    assert seen.board.last_words()[-1] == "vct: error: it broke; mend it."


def test_what_is_tried_again_has_not_failed(seen):
    seen.start(0)
    seen.board.broke(0)
    seen.board.again(0)
    seen.finish(0)
    assert seen.board.last_words() == []
    assert seen.lines[1] == "train run0 is tried again."


def test_jobs_that_a_user_stops_have_not_failed(seen):
    seen.finish(0)
    seen.start(1)
    seen.board.stop(AT_ONCE)
    seen.board.stop(AT_ONCE)
    seen.board.broke(1)
    assert seen.lines[1:] == [AT_ONCE]
    assert seen.board.last_words() == [
        "Stopped: 1 of 4 jobs are done. The same command goes on there."
    ]


def test_who_waits_for_running_jobs_hears_of_their_failures(seen):
    seen.start(0)
    seen.board.stop(AFTER)
    seen.board.broke(0)
    assert "failed" in seen.lines[1]


def test_a_refusal_is_the_last_word(seen):
    seen.board.refuse("vct: error: no.")
    assert seen.board.last_words() == ["vct: error: no."]


def test_refusals_of_ours_lose_their_place_in_a_file():
    ours = (
        'WorkflowError in file "/a/workflow/Snakefile", line 15:\n'
        "params.yaml: no suite 'x'; did you mean y?\n"
        '  File "/a/Snakefile", line 1, in <module>\n'
        '  File "/a/workflow/Snakefile", line 15, in <module>'
    )
    assert plain(ours) == "vct: error: params.yaml: no suite 'x'; did you mean y?"
    other = "MissingRuleException:\nNo rule to produce x"
    assert plain(other) == other


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("Missing output files: a, b; Input files updated by another job: c", "not made yet"),
        ("Input files updated by another job: c", "reads what is made anew"),
        ("Missing output files: a; Params have changed since last execution", "settings changed"),
        ("Something new: x; y", "something new"),
    ],
)
def test_reasons_are_short(words, short):
    assert reason(words) == short


def test_a_running_job_that_waits_says_for_what(seen):
    seen.start(0)
    seen.say(0, "vct: waits for GPUs: 1 wanted, 0 of 4 free.\n")
    assert seen.board.now() == "train run0 (vct: waits for GPUs: 1 wanted, 0 of 4 free.)"


def test_a_job_that_outlived_its_engine_hides_no_sentence(seen):
    """It goes on where its log was before it was begun anew."""
    seen.start(0)
    late = "\0" * 100 + "5/9 steps (50 %), 1/s, 4 s left\n"
    seen.say(0, f"vct: error: it is in use; wait.\n{late}")
    seen.board.broke(0)
    assert seen.board.last_words()[-1] == "vct: error: it is in use; wait."
