"""Which devices a stage takes; processes and locks are real, devices are names."""

import os
import select
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.locks import lock
from vct.lab.processes import gpus, group, launch
from vct.lab.settings.runtime import RuntimeSettings

HOLD = """
import os, sys
from vct.lab.processes import gpus
from vct.lab.settings.runtime import RuntimeSettings
with gpus.claimed(RuntimeSettings(gpus=int(sys.argv[1]))):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""
PATIENCE = 60


@pytest.fixture
def holders(tmp_path, monkeypatch):
    """Start a process that claims devices and keeps them until its stdin is closed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(gpus.tempfile, "tempdir", None)
    for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    started = []

    def start(count, visible="0,1", **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(count)],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": visible, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(stream):
    """What a process says next, or "" if it says nothing for long."""
    ready, _, _ = select.select([stream], [], [], PATIENCE)
    return stream.readline().decode().strip() if ready else ""


def test_each_process_gets_its_own_and_a_killed_one_frees_them(holders):
    first, second = holders(1, "4,GPU-7"), holders(1, "4,GPU-7")
    shown = line(first.stdout)
    assert {shown, line(second.stdout)} == {"4", "GPU-7"}
    third = holders(1, "4,GPU-7")
    assert line(third.stderr) == "vct: waits for GPUs: 1 wanted, 0 of 2 free."
    first.kill()
    assert line(third.stdout) == shown


def test_who_waits_for_several_holds_none(holders):
    first = holders(1)
    assert line(first.stdout) == "0"
    both = holders(2)
    assert line(both.stderr) == "vct: waits for GPUs: 2 wanted, 1 of 2 free."
    second = holders(1)
    assert line(second.stdout) == "1"
    first.communicate()
    second.communicate()
    assert line(both.stdout) == "0,1"


def test_two_that_need_all_take_turns(holders):
    """Each would wait for the other if it kept what it got."""
    rivals = [holders(3, visible) for visible in ("0,1,2", "2,1,0")]
    ready, _, _ = select.select([rival.stdout for rival in rivals], [], [], PATIENCE)
    assert len(ready) == 1
    winner = next(rival for rival in rivals if rival.stdout in ready)
    (loser,) = (rival for rival in rivals if rival is not winner)
    winner.communicate()
    assert line(loser.stdout)


def test_slurm_jobs_number_their_devices_by_themselves(holders):
    jobs = [holders(1, "0", SLURM_JOB_ID=job) for job in ("7", "8")]
    assert [line(job.stdout) for job in jobs] == ["0", "0"]
    same = holders(1, "0", SLURM_JOB_ID="8")
    assert line(same.stderr).startswith("vct: waits for GPUs: 1 wanted")


def test_processes_of_a_group_keep_the_devices_of_the_one_that_started_them(holders, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(launch, "COMMAND", [sys.executable, "-c"])
    told, tell = os.pipe()
    orphan = f"""
import os, sys
if os.fork():  # its child lives on
    sys.exit()
os.read({told}, 1)
"""
    os.set_inheritable(told, True)
    with gpus.claimed(RuntimeSettings(gpus=2)) as locks:
        assert launch.run([orphan], 2, (*locks, told)) == 0
    waiting = holders(1)
    assert line(waiting.stderr) == "vct: waits for GPUs: 1 wanted, 0 of 2 free."
    os.write(tell, b"12")
    assert line(waiting.stdout) == "0"
    os.close(told)
    os.close(tell)


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        ("3,1", ["3", "1"]),
        (" GPU-a1 , MIG-GPU-b/1/0", ["GPU-a1", "MIG-GPU-b/1/0"]),
        ("0,-1,1", ["0"]),
        ("2,2,1", ["2"]),
        ("NoDevFiles", []),
        ("", []),
    ],
)
def test_devices_are_seen_as_cuda_sees_them(listed, seen, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert gpus.visible() == seen


def test_without_a_list_all_devices_of_the_machine_are_seen(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(
        gpus.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, stdout="3\n"),
    )
    assert gpus.visible() == ["0", "1", "2"]


@pytest.mark.parametrize("settings", [{}, {"gpus": 1, "device": "cpu"}, {"device": "cuda:1"}])
def test_nothing_is_claimed_where_nothing_is_to_be_chosen(settings, holders, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with gpus.claimed(RuntimeSettings(**settings)) as locks:
        assert locks == ()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_more_than_there_are_is_one_sentence(holders, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    sentence = "3 GPUs are asked for, but 2 can be seen here"
    with pytest.raises(UserError, match=sentence), gpus.claimed(RuntimeSettings(gpus=3)):
        pass


def test_a_folder_that_cannot_be_written_is_one_sentence(holders, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    (tmp_path / f"vct-devices-{os.getuid()}").write_text("")
    with pytest.raises(UserError, match="cannot write"), gpus.claimed(RuntimeSettings(gpus=1)):
        pass


def test_the_environment_is_as_before_afterwards(holders, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    with gpus.claimed(RuntimeSettings(gpus=1)):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,6"


@pytest.fixture
def project(holders, tmp_path, monkeypatch):
    """A folder whose stages, which only note the devices they see, ask for two GPUs."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params({"runtime.gpus": 2})))
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(cli, "_run", lambda *_: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES")))
    monkeypatch.setattr(
        launch, "run", lambda *_: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
    )
    return seen


@pytest.mark.parametrize("stage", ["train", "sample", "score", "floor"])
def test_stages_that_use_gpus_claim_them(stage, project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4,5")
    name = "small" if stage == "floor" else "small/independent/seed0"
    assert cli.main([stage, name]) == 0
    assert project == ["3,4"]


def test_other_stages_claim_none(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cli.main(["table", "cpu"]) == 0
    assert project == [""]


def test_a_member_of_a_group_takes_what_the_group_was_given(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(group, "joined_group", lambda *_: nullcontext())
    assert cli.main(["train", "small/independent/seed0"]) == 0
    assert project == ["3,4"]
    assert not list(Path().glob("vct-devices-*"))


def test_a_stage_that_lacks_gpus_ends_with_one_sentence(project, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert cli.main(["train", "small/independent/seed0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vct: error: runtime.gpus: 2 GPUs are asked for, but 1 can be seen")
    assert said.count("\n") == 1
    assert project == []


def test_what_would_stop_a_stage_anyway_is_said_before_it_waits(project, monkeypatch, capsys):
    """Else a training that outlived its engine, with the only GPU, would be waited for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    run = RunId.parse("small/independent/seed0")
    with lock(run.state), gpus.claimed(RuntimeSettings(gpus=2)):
        assert cli.main(["train", str(run)]) == 2
        assert "is in use: process" in capsys.readouterr().err
        assert cli.main(["sample", "small/none/seed0"]) == 2
        assert cli.main(["floor", "smal"]) == 2
    assert not project


def test_a_trial_waits_for_its_own_lock_alone(project, monkeypatch, capsys):
    """Not for its run's, and it makes no file where the run keeps its own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    run = RunId.parse("small/independent/seed0")
    trial = ["train", str(run), "--set", "train.steps=3"]
    assert cli.main(trial) == 0
    assert len(project) == 1 and not run.state.exists()
    with lock(run.state):
        assert cli.main(trial) == 0
    assert len(project) == 2
    with lock(run.trial.state):
        assert cli.main(trial) == 2
        assert "is in use: process" in capsys.readouterr().err


def test_devices_that_cannot_be_counted_are_one_sentence(holders, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(UserError, match="cannot be counted"), gpus.claimed(RuntimeSettings(gpus=1)):
        pass
