"""Try the profile for Slurm on a cluster of one node: see README.md in this folder."""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import one_node
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from faults import engines  # noqa: E402

PROFILE = "workflow/profiles/slurm"
RUN = "digits/ot/seed0"
LIMIT = "3 + attempt if attempt < 4 else 60"
"""Minutes of a training that is to hit its limit. SIGTERM comes in the first, second or third of
them, as the attempt may be; on a busy machine the first may find it not started yet."""
STEPS = 6000
"""Longer than the first of those minutes, wherever it is computed."""
PATIENCE = 1800
"""Seconds that a training may wait for its turn."""
WITH_GPU = {"train", "sample", "score", "floor"}


class Project:
    """A folder with a copy of this project, and the environment of the cluster's users."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        # sbatch hands the environment on, and with it the sources of this copy.
        self.environment = environment | {
            "PATH": path,
            "PYTHONPATH": str(folder / "src"),
            "DVC_NO_ANALYTICS": "true",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def snakemake(self, *arguments: str) -> float:
        """Run Snakemake on the cluster; its seconds. What it says is in `said`."""
        begin = time.monotonic()
        profiles = ["--profile", str(ROOT / "tests/cluster/profile"), "--workflow-profile", PROFILE]
        with (self.folder / "snakemake.txt").open("w") as said:
            done = subprocess.run(
                ["snakemake", *arguments, *profiles],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
            )
        check(done.returncode == 0, f"snakemake ends well in {self.folder}")
        return time.monotonic() - begin

    def said(self) -> str:
        return (self.folder / "snakemake.txt").read_text()

    def jobs(self) -> list[dict[str, str]]:
        """The cluster's jobs of this project, as Slurm describes them."""
        lines = self.run("scontrol", "--oneliner", "show", "jobs").stdout.splitlines()
        found = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
        return [job for job in found if job.get("WorkDir") == str(self.folder)]


def check(right: bool, what: str) -> None:
    print(f"{'yes' if right else 'NO'}: {what}", flush=True)
    if not right:
        raise SystemExit(1)


def small_project(folder: Path, environment: dict[str, str], steps: int = 60) -> Project:
    """One small run whose jobs ask Slurm for a GPU and compute on the CPU."""
    engines.make(folder)
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["experiments"]["digits"]["train"]["steps"] = steps
    params["runtime"] |= {"gpus": 1, "device": "cpu", "checkpoint_every": 100, "tracking": False}
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    return Project(folder, environment)


def small(folder: Path, environment: dict[str, str]) -> None:
    """A whole workflow; each job asked for what it should."""
    project = small_project(folder / "small", environment)
    seconds = project.snakemake()
    jobs = project.jobs()
    print(f"{len(jobs)} jobs in {seconds:.0f} s")
    for job in jobs:
        rule = re.match(r"rule_([a-z]+)", job["Comment"])[1]
        asked = {name: job.get(name) for name in ("TresPerJob", "MinMemoryNode", "TimeLimit")}
        print(f"  {rule}: {asked}")
        check(
            ("TresPerJob" in job) == (rule in WITH_GPU),
            f"{rule} asks for a GPU just if it uses one",
        )
    check(len(jobs) == 10, "each job but `all` ran on the cluster")
    planned = project.run("snakemake", "-n")
    check("Nothing to be done" in planned.stdout + planned.stderr, "nothing is left to do")


def training(project: Project) -> str:
    """The id of the running training, once it is past the first periodic checkpoint."""
    for _ in range(PATIENCE):
        time.sleep(1)
        if list((project.folder / "state" / RUN).glob("*.ckpt")):
            running = [job for job in project.jobs() if job["JobState"] == "RUNNING"]
            if running:
                return running[0]["JobId"]
    raise SystemExit(f"no training runs in {project.folder}")


def cancel(project: Project) -> None:
    """SIGTERM to all processes of the job, SIGKILL 30 s later."""
    project.run("scancel", training(project))


def kill(project: Project) -> None:
    """SIGKILL to all processes of the job; Slurm's own would be told by SIGTERM first."""
    marks = {f"SLURM_JOB_ID={training(project)}", f"PYTHONPATH={project.folder}/src"}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marks <= set((process / "environ").read_text(errors="replace").split("\0")):
                os.kill(int(process.name), signal.SIGKILL)


def limit(project: Project) -> None:
    """Its profile gave it too little time."""


def short(project: Project) -> None:
    """Give the first attempts of a training a run time that does not suffice."""
    path = project.folder / PROFILE / "config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-resources"]["train"]["runtime"] = LIMIT
    path.write_text(yaml.safe_dump(profile, sort_keys=False))


def kills(folder: Path, environment: dict[str, str]) -> None:
    """Trainings that are stopped are submitted again, go on, and end with the same weights."""
    interruptions: list[Callable[[Project], None]] = [cancel, kill, limit]
    names = ["undisturbed", *(hit.__name__ for hit in interruptions)]
    projects = [small_project(folder / name, environment, STEPS) for name in names]
    short(projects[-1])
    with ThreadPoolExecutor(8) as pool:
        target = f"results/{RUN}/model.safetensors"
        ends = [pool.submit(project.snakemake, target) for project in projects]
        hits = [
            pool.submit(hit, project)
            for hit, project in zip(interruptions, projects[1:], strict=True)
        ]
        for hit in hits:
            hit.result()
        seconds = [end.result() for end in ends]
    expected = weights(projects[0])
    for name, project, took in zip(names, projects, seconds, strict=True):
        account = (project.folder / f"logs/train/{RUN}.log").read_text()
        resumed = re.findall(r"goes on after step (\d+)", account)
        again = project.said().count(" is tried again.")
        found = weights(project)
        print(f"{name}: {took:.0f} s, restarts {again}, resumed at {resumed}, sha256 {found}")
        check((again > 0) == (name != "undisturbed"), f"{name}: submitted again if stopped")
        check(bool(resumed) == (name != "undisturbed"), f"{name}: goes on if stopped")
        check(found == expected, f"{name}: the weights are those of the undisturbed training")
    warned = "stopped by SIGTERM after step" in projects[-1].said()
    check(warned, "limit: the training was told before its time was over, and saved its state")


def weights(project: Project) -> str:
    file = project.folder / f"results/{RUN}/model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def suite(folder: Path, environment: dict[str, str]) -> None:
    """The default suite, compared with the committed table."""
    copy = folder / "suite"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    for name in engines.COPIED:  # as they are now, committed or not
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / name, copy / name)
    project = Project(copy, environment)
    seconds = project.snakemake()
    print(f"{len(project.jobs())} jobs in {seconds:.0f} s")
    planned = project.run("snakemake", "-n")
    check("Nothing to be done" in planned.stdout + planned.stderr, "snakemake has nothing to do")
    verified = project.run("vct", "verify")
    print(verified.stdout + verified.stderr)
    check(verified.returncode == 0, "vct verify")
    status = project.run("dvc", "status")
    print(status.stdout + status.stderr)
    check("up to date" in status.stdout, "dvc status")


def main() -> None:
    trials = {trial.__name__: trial for trial in (small, kills, suite)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", nargs="+", choices=trials)
    parser.add_argument("--install", action="store_true", help="Slurm and munge first, by apt-get")
    options = parser.parse_args()
    if options.install:
        one_node.install()
    folder = Path(tempfile.mkdtemp(prefix="vct-cluster-"))
    folder.chmod(0o755)  # munge wants everyone to reach its socket
    print(f"the trial is in {folder}, and stays there", flush=True)
    with one_node.running(folder / "slurm") as environment:
        for name in options.trials:
            trials[name](folder, environment)


if __name__ == "__main__":
    main()
