"""What a job on a cluster relies on: its profile, and a shell that leaves time to save."""

import os
import re
import signal
import subprocess
import sys

import pytest
import yaml
from support import ROOT

PROFILES = sorted((ROOT / "workflow/profiles").glob("*/config.yaml"))
STUB = f"""#!{sys.executable}
import os, signal, sys, time
def save(number, frame):
    time.sleep(0.5)
    print("saved", file=sys.stderr)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print(os.getpid(), "ready", file=sys.stderr, flush=True)
time.sleep(60)
"""
"""Stands for `vct train`: it takes a while to end after SIGTERM, and says so."""


def test_there_are_profiles():
    assert [path.parent.name for path in PROFILES] == ["gpus", "slurm"]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_profiles_keep_what_the_default_says(path):
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    profile = yaml.safe_load(path.read_text())
    assert {key: profile.get(key) for key in default} == default


def test_the_cluster_profile_names_rules_that_exist():
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"^ *(?:use rule \w+ as|rule) (\w+)", text, flags=re.MULTILINE))
    with_gpus = set(
        re.findall(r"^rule (\w+):(?:(?!^rule ).)*?gpu=", text, re.MULTILINE | re.DOTALL)
    )
    stages = {"prepare", "train", "prior", "sample", "statistics", "score", "floor", "diagnose"}
    assert with_gpus == stages
    assert set(profile["set-resources"]) <= rules
    assert set(profile["set-resources"]) >= with_gpus
    warned = {name for name, given in profile["set-resources"].items() if "slurm_extra" in given}
    assert warned == {rule for rule in rules if rule.startswith("train")}


def test_a_signal_to_all_processes_of_a_job_leaves_time_to_save(project, tmp_path):
    target = "results/digits/ot/seed0/model.safetensors"
    planned = project.snakemake("-n", "-p", target).stdout
    commands = re.findall(r"^    (exec .*)$", planned, flags=re.MULTILINE)
    (command,) = (command for command in commands if "vct train" in command)
    stub = tmp_path / "vct"
    stub.write_text(STUB)
    stub.chmod(0o755)
    log = tmp_path / "logs/train/digits/ot/seed0.log"
    log.parent.mkdir(parents=True)
    job = subprocess.Popen(
        ["bash", "-c", f"set -euo pipefail; {command}"],  # as Snakemake calls it
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        start_new_session=True,
    )
    while not (log.is_file() and log.read_text().endswith("\n")):
        assert job.poll() is None
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(timeout=60) == 143
    assert log.read_text() == f"{job.pid} ready\nsaved\n"
