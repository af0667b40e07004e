"""Processes that are started together, stopped together, and heard."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from faults import killing, variants
from gloo import together

from vct.lab.files.layout import StatisticsId
from vct.lab.processes import launch
from vct.lab.processes.group import current_group

VARIANT = variants.Variant("ot", "ict", "ve", "points", processes=2)
PICTURES = variants.Variant("independent", "ict", "ve", "images")
SCORES = ["metrics.json", "protocol.json", "trajectory.csv"]
STATISTICS = ["images/net/moments", "images/net/features"]
STUB = """
import os, signal, sys, time
rank = os.environ["RANK"]
def stop(number, frame):
    print(f"{rank} stops", file=sys.stderr)
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
exec(sys.argv[1])
"""


@pytest.fixture
def stub(monkeypatch):
    """Start this instead of `vct`: its argument is a program that knows its `rank`."""
    monkeypatch.setattr(launch, "COMMAND", [sys.executable, "-c", STUB])


def test_each_process_knows_its_place(stub, tmp_path):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    program = f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ[n] for n in {names}))"
    assert launch.run([program], 3) == 0
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == ["0 0 3", "1 1 3", "2 2 3"]


def test_the_first_alone_speaks(stub, capfd):
    assert launch.run(["print('out', rank); print('err', rank, file=sys.stderr)"], 2) == 0
    said = capfd.readouterr()
    assert (said.out, said.err) == ("out 0\n", "err 0\n")


def test_another_that_fails_first_is_heard_and_ends_all(stub, capfd, monkeypatch):
    monkeypatch.setattr(launch, "GRACE", 0.5)
    program = "time.sleep(60) if rank == '0' else (print('broken', file=sys.stderr), sys.exit(7))"
    begin = time.monotonic()
    assert launch.run([program], 2) == 7
    assert time.monotonic() - begin < 30
    assert capfd.readouterr().err == "broken\n"


def test_one_that_fails_for_its_own_reason_is_heard_before_one_that_lost_it(stub, capfd):
    program = "(time.sleep(0.5), sys.exit(2)) if rank == '1' else sys.exit(3)"
    assert launch.run([f"print('I am', rank, file=sys.stderr); {program}"], 2) == 2
    assert capfd.readouterr().err == "I am 0\nI am 1\n"


def test_what_all_refuse_is_said_once(stub, capfd):
    program = "time.sleep(0.5 * (rank == '0')); print('refused', file=sys.stderr); sys.exit(2)"
    assert launch.run([program], 2) == 2
    assert capfd.readouterr().err == "refused\n"


def test_death_by_a_signal_is_told_as_a_shell_does(stub):
    assert launch.run(["os.kill(os.getpid(), signal.SIGKILL)"], 2) == 137


def test_one_that_still_saves_when_all_are_stopped_is_waited_for(stub, capfd, monkeypatch):
    monkeypatch.setattr(launch, "GRACE", 0.2)
    program = "time.sleep(rank == '0'); print('saved', rank, file=sys.stderr); sys.exit(143)"
    assert launch.run([program], 2) == 143
    assert capfd.readouterr().err == "saved 0\n"


def test_sigterm_goes_to_all(tmp_path):
    program = f"open(f'{tmp_path}/{{rank}}', 'w').close(); time.sleep(60)"
    script = (
        "import sys; from vct.lab.processes import launch;"
        f"launch.COMMAND = [sys.executable, '-c', {STUB!r}];"
        f"sys.exit(launch.run([{program!r}], 2))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said == "0 stops\n"


def test_a_signal_that_comes_before_all_are_started_reaches_them_all(stub, monkeypatch, capfd):
    start, started = launch._start, []

    def slow(*arguments):
        started.append(start(*arguments))
        if len(started) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(launch, "_start", slow)
    begin = time.monotonic()
    assert launch.run(["time.sleep(60)"], 3) == 143
    assert time.monotonic() - begin < 30
    assert all(process.poll() is not None for process in started)
    assert "Traceback" not in capfd.readouterr().err


def test_training_in_two_processes_stops_at_sigterm_and_goes_on(tmp_path):
    project, trial = tmp_path / "undisturbed", tmp_path / "trial"
    for folder in (project, trial):
        variants.make(folder)
        text = (folder / "params.yaml").read_text()
        (folder / "params.yaml").write_text(
            text.replace("runtime:\n", "runtime:\n  processes: 2\n")
        )
    code, _ = killing.run_group(project, 2, "train", str(VARIANT.run))
    assert code == 0, killing.text(project)
    command = [sys.executable, "-m", "vct", "train", str(VARIANT.run)]
    options = {"cwd": trial, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)
    state = trial / VARIANT.run.state
    while process.poll() is None and not list(state.glob("*.ckpt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said
    if process.returncode:  # it may have been done before the signal came
        assert process.returncode == 143, said
        assert "the same command goes on there" in said
        code, _ = killing.run_group(trial, 2, "train", str(VARIANT.run))
        assert code == 0, killing.text(trial)
    assert variants.fingerprint(trial, VARIANT.run) == variants.fingerprint(project, VARIANT.run)
    assert '"devices": 2' in (trial / VARIANT.run.directory / "config.json").read_text()


def collected(rows):
    group = current_group()
    return [group.rank, group.collect(rows[group.share(len(rows))]).tolist(), group.any(False)]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_shares_are_disjoint_and_whole(count, tmp_path):
    rows = np.arange(2 * count, dtype=np.uint8).reshape(count, 2)
    results = together(tmp_path / "group", 3, collected, rows)
    assert results[0] == [0, rows.tolist(), False]


def test_lost_process_is_one_sentence(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "project"
    for each in (whole, folder):
        variants.make(each)
    _, operations = killing.run_group(whole, 2, "train", str(VARIANT.run))
    middle = operations // 2
    code, _ = killing.run_group(folder, 2, "train", str(VARIANT.run), at=middle)
    assert code == -9
    said = killing.text(folder)
    assert "Traceback" not in said
    assert "vct: error: another process of this run ended" in said


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with a trained run on images and its extractor."""
    folder = tmp_path_factory.mktemp("trained") / "project"
    variants.make(folder)
    assert killing.run(folder, "extractor", "net")[0] == 0
    assert killing.run(folder, "train", str(PICTURES.run))[0] == 0
    return folder


def made_by(folder, size, command, subject, files):
    """Bytes of `files` in the folder of the run, made by so many processes."""
    code = killing.run_group(folder, size, command, subject)[0]
    assert code == 0, killing.text(folder)
    return [(folder / PICTURES.run.directory / name).read_bytes() for name in files]


def test_samples_do_not_depend_on_the_number_of_processes(trained):
    run = str(PICTURES.run)
    made = [made_by(trained, size, "sample", run, ["samples.npz"]) for size in (1, 2, 3)]
    assert made[0] == made[1] == made[2]


@pytest.fixture
def sampled(trained):
    """The project, whose scores are more than the Fréchet distance; nothing is scored yet."""
    path = trained / "params.yaml"
    content = yaml.safe_load(path.read_text())
    score = content["experiments"][PICTURES.run.experiment]["score"]
    score["extras"] = ["kid", "precision_recall"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    for place in STATISTICS:
        assert killing.run(trained, "statistics", place)[0] == 0
    assert killing.run(trained, "sample", str(PICTURES.run))[0] == 0
    for name in SCORES:
        (trained / PICTURES.run.directory / name).unlink(missing_ok=True)
    return trained


def test_scores_do_not_depend_on_the_number_of_processes(sampled):
    run, experiment = str(PICTURES.run), PICTURES.run.experiment
    made = [made_by(sampled, size, "score", run, SCORES) for size in (1, 2, 3)]
    assert made[0] == made[1] == made[2]
    assert b"precision_net" in made[0][0] and b"kid" in made[0][1]
    floors = [made_by(sampled, size, "floor", experiment, ["../../floor.json"]) for size in (1, 2)]
    assert floors[0] == floors[1]


@pytest.mark.parametrize("place", STATISTICS)
def test_statistics_do_not_depend_on_the_number_of_processes(place, trained):
    file = [trained / StatisticsId.parse(place).file]
    made = [made_by(trained, size, "statistics", place, file) for size in (1, 2, 3)]
    assert made[0] == made[1] == made[2]


def test_what_the_first_refuses_ends_the_others(sampled):
    """Of the samples, which it alone reads."""
    folder = sampled / PICTURES.run.directory
    (folder / "samples.npz").write_bytes(b"damaged")
    before = killing.text(sampled)
    assert killing.run_group(sampled, 2, "score", str(PICTURES.run))[0] == 2
    said = killing.text(sampled).removeprefix(before)
    assert "Traceback" not in said
    assert "samples.npz is missing or damaged" in said
    assert "another process of this run ended" in said
    assert not any((folder / name).exists() for name in SCORES)


def test_a_score_whose_first_process_is_killed_is_made_again(sampled):
    run, folder = str(PICTURES.run), sampled / PICTURES.run.directory
    whole = made_by(sampled, 1, "score", run, SCORES)
    _, operations = killing.run_group(sampled, 2, "score", run)
    for name in SCORES:
        (folder / name).unlink()
    before = killing.text(sampled)
    assert killing.run_group(sampled, 2, "score", run, at=operations // 2)[0] == -9
    said = killing.text(sampled).removeprefix(before)
    assert "Traceback" not in said and "another process of this run ended" in said
    assert not (folder / "protocol.json").exists()
    assert made_by(sampled, 2, "score", run, SCORES) == whole
