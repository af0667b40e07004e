"""Kill Snakemake and DVC in each of their stages, run them again, and compare the results."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COPIED = (
    "Snakefile",
    "workflow",
    "profiles",
    "environment.yml",
    "params.yaml",
    ".dvcignore",
    "src",
)
STAGES = ("data", "extractor", "train", "sample", "score", "table", "figures")
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
ENGINES = {
    # What the README gives for an interrupted run.
    "snakemake": ["snakemake --cores 1", "snakemake --unlock && snakemake --cores 1"],
    "dvc": ["dvc repro", "dvc repro"],
}
PATIENCE = 300.0


@dataclass(frozen=True)
class Interruption:
    """An engine, the stage in which it was hit and by what; what went wrong afterwards, or ""."""

    engine: str
    stage: str
    signal: str
    problem: str


def make(folder: Path) -> None:
    """A project with one small run, in a git and DVC repository."""
    folder.mkdir(parents=True)
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    digits = params["experiments"]["digits"]
    digits["train"] |= {"steps": 60, "batch_size": 32, "log_every": 10, "snapshots": 2}
    digits |= {"variants": ["ot"], "seeds": [0]}
    digits["sample"] |= {"num_samples": 64, "snapshot_samples": 32, "batch_size": 64}
    extractor = {**params["extractors"]["digits-classifier"], "epochs": 2}
    small = {
        "datasets": {"digits": params["datasets"]["digits"]},
        "extractors": {"digits-classifier": extractor},
        "experiments": {"digits": digits},
        "suites": {"cpu": ["digits"]},
        "runtime": {**params["runtime"], "tracking": False, "checkpoint_every": 10},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(small, sort_keys=False))
    for command in ("git init -q", "dvc init -q", "vct dvc cpu"):
        done = shell(folder, command)
        assert done.returncode == 0, done.stderr


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a project, with the programs beside this Python."""
    return subprocess.run(
        command, cwd=folder, env=_environment(), shell=True, capture_output=True, text=True
    )


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of each file under results/."""
    files = [file for file in (folder / "results").rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if not file.name.startswith(".")
    }


def interrupt(
    folder: Path, engine: str, stage: str, name: str, expected: dict[str, str]
) -> Interruption:
    """Hit `engine` in `stage` in the fresh project `folder`, then run it again."""
    first, again = ENGINES[engine]
    process = subprocess.Popen(
        first,
        cwd=folder,
        env=_environment(),
        shell=True,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    hit = _hit(folder, process, stage, SIGNALS[name])
    if not hit:
        return Interruption(engine, stage, name, "the stage was not seen")
    return Interruption(engine, stage, name, _finishes(folder, again, expected))


def _hit(folder: Path, process: subprocess.Popen[bytes], stage: str, number: int) -> bool:
    """Wait for the stage's process, then signal as a user, a cluster or a crash would."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if _running(folder, stage):
            time.sleep(0.5)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # a terminal tells the whole group
            else:
                os.kill(_engine(process.pid), number)  # its children live on
            process.wait(PATIENCE)
            return True
        time.sleep(0.05)
    return False


def _engine(shell_pid: int) -> int:
    """The engine behind the shell that started it; dash replaces itself, other shells do not."""
    children = Path(f"/proc/{shell_pid}/task/{shell_pid}/children").read_text().split()
    command = Path(f"/proc/{shell_pid}/cmdline").read_text()
    return int(children[0]) if "-c\0" in command and children else shell_pid


def _running(folder: Path, stage: str) -> list[int]:
    """Processes that run `vct STAGE` in the project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = Path(os.readlink(process / "cwd")) == folder
        except OSError:
            continue
        names = [Path(word).name for word in words]
        if here and "vct" in names and (stage == "" or stage in words):
            found.append(int(process.name))
    return found


def _finishes(folder: Path, command: str, expected: dict[str, str]) -> str:
    done = shell(folder, command)
    text = done.stdout + done.stderr
    if done.returncode and "is in use" in text:
        # The engine died and its training lives on: the sentence names it, and it is waited for.
        deadline = time.monotonic() + PATIENCE
        while _running(folder, "train") and time.monotonic() < deadline:
            time.sleep(0.2)
        done = shell(folder, command)
        text = done.stdout + done.stderr
    if done.returncode:
        return f"exit code {done.returncode}: {text[-400:]}"
    if "Traceback" in text:
        return f"a traceback: {text[-400:]}"
    found = fingerprint(folder)
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    return f"other results: {differing}" if differing else ""
