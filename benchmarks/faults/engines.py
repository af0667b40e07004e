"""Kill Snakemake and DVC in each of their stages, run them again, and compare the results.

One project is killed in every stage in turn: the command that goes on after a kill is itself killed
in the next stage, and the last one must finish. So a kill costs seconds, not a whole chain.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
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
STAGES = {
    "tracking": "track init",
    "data": "data",
    "extractor": "extractor",
    "statistics": "statistics",
    "train": "train",
    "sample": "sample",
    "floor": "floor",
    "score": "score",
    "table": "table",
    "figures": "figures",
    "report": "report",
    "scores": "track scores",
    "record": "record",
}
"""Of a user's run, with the first words of their commands."""
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
ENGINES = {"snakemake": "snakemake --cores 1", "dvc": "dvc repro"}
"""The command of each, which is also the one that the README gives for an interrupted run."""
MARKS = (".snakemake_timestamp", ".gitignore")
"""Files of the engines themselves; after Ctrl-C, DVC takes back its lines of .gitignore."""
TIMED = ("report.html",)
"""What says when its runs were trained: no two projects share it."""
PATIENCE = 1200.0


@dataclass(frozen=True)
class Undisturbed:
    """What an undisturbed run leaves, and seconds of CPU time that each stage took."""

    results: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Hit:
    """A stage in which an engine was hit, and how many seconds of CPU time the stage had taken."""

    stage: str
    moment: float


@dataclass
class Assault:
    """What was done to one project.

    Attributes:
        engine, signal: what was hit, and by what.
        hits: where it was hit.
        commands: how often the command was given.
        waited: how many of them met a stage that had outlived its engine.
        recorded: whether the results came into dvc.lock without another command.
        problem: what went wrong, or "".
    """

    engine: str
    signal: str
    hits: list[Hit] = field(default_factory=list)
    commands: int = 0
    waited: int = 0
    recorded: bool = True
    problem: str = ""

    @property
    def left(self) -> set[str]:
        """The stages in which it is still to be hit."""
        own = {"record"} if self.engine == "dvc" else set()
        return STAGES.keys() - own - {hit.stage for hit in self.hits}


def make(folder: Path) -> None:
    """A project with one small run, in a git and DVC repository."""
    folder.mkdir(parents=True)
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    digits = params["experiments"]["digits"]
    network = {"kind": "mlp", "width": 16, "depth": 2}
    digits["train"] |= {"steps": 60, "batch_size": 32, "log_every": 10, "snapshots": 2}
    digits["train"]["network"] = network
    digits |= {"variants": ["ot"], "seeds": [0]}
    digits["sample"] |= {"num_samples": 64, "snapshot_samples": 32, "batch_size": 64}
    extractor = {**params["extractors"]["digits-classifier"], "epochs": 1}
    small = {
        "datasets": {"digits": params["datasets"]["digits"]},
        "extractors": {"digits-classifier": extractor},
        "experiments": {"digits": digits},
        "suites": {"cpu": ["digits"]},
        "runtime": {**params["runtime"], "tracking": True, "checkpoint_every": 10},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(small, sort_keys=False))
    for command in ("git init -q", "dvc init -q", "vct dvc cpu"):
        done = shell(folder, command)
        assert done.returncode == 0, done.stderr


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a project, with the programs beside this Python."""
    return subprocess.run(
        command, cwd=folder, env=_environment(folder), shell=True, capture_output=True, text=True
    )


def _environment(folder: Path) -> dict[str, str]:
    """The project's own copy of the package is used, whatever happens to the original."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true", "PYTHONPATH": str(folder / "src")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment


def undisturbed(project: Path, folder: Path) -> Undisturbed:
    """Let Snakemake make everything; DVC must come to the same."""
    shutil.copytree(project, folder, symlinks=True)
    seconds: dict[str, float] = {}
    process = _start(folder, ENGINES["snakemake"])
    while process.poll() is None:
        for stage, pid in _running(folder):
            seconds[stage] = max(seconds.get(stage, 0.0), _cpu_seconds(pid))
        time.sleep(0.1)
    assert process.returncode == 0, _output(folder).read_text()
    assert seconds.keys() == STAGES.keys(), seconds
    return Undisturbed(fingerprint(folder), seconds)


def assault(project: Path, folder: Path, engine: str, name: str, expected: Undisturbed) -> Assault:
    """Hit an engine by the signal `name` at a random moment of each stage, until it finishes."""
    shutil.copytree(project, folder, symlinks=True)
    found = Assault(engine, name)
    while not found.problem:
        found.commands += 1
        process = _start(folder, ENGINES[engine])
        hit = _hit(folder, process, found, expected.seconds)
        process.wait(PATIENCE)
        if hit is not None:
            found.hits.append(hit)
            continue
        text = _output(folder).read_text()
        if "Traceback" in text:
            found.problem = f"a traceback: {text[-400:]}"
        elif process.returncode == 0:
            break
        elif "is in use" in text and found.waited < len(STAGES):
            # The engine died and its stage lives on: the sentence names it, and it is waited for.
            found.waited += 1
            _wait(folder)
        else:
            found.problem = f"exit code {process.returncode}: {text[-400:]}"
    _wait(folder)
    found.recorded = shell(folder, "dvc status -q").returncode == 0
    if engine == "snakemake" and not found.recorded:
        # Stopped after its last stage, it has nothing to do when it is called again, nor to record.
        shell(folder, "vct record cpu")
    missed = found.left - {"record"}
    if missed and not found.problem:
        found.problem = f"not hit in: {', '.join(sorted(missed))}"
    found.problem = found.problem or _differing(folder, expected.results)
    return found


def _hit(
    folder: Path, process: subprocess.Popen[bytes], found: Assault, seconds: dict[str, float]
) -> Hit | None:
    """Signal as a user, a cluster or a crash would, in the first stage that was not hit yet.

    Returns None if the engine ended before.
    """
    draws = {
        stage: random.Random(f"{found.engine} {found.signal} {stage}").uniform(0.05, 0.8)
        for stage in STAGES
    }
    while process.poll() is None:
        for stage, pid in _running(folder):
            moment = _cpu_seconds(pid)
            if stage in found.left and moment > draws[stage] * seconds[stage]:
                number = SIGNALS[found.signal]
                if number == signal.SIGINT:
                    os.killpg(process.pid, number)  # a terminal tells the whole group
                else:
                    os.kill(_engine(process.pid), number)  # its children live on
                return Hit(stage, moment)
        time.sleep(0.1)
    return None


def _start(folder: Path, command: str) -> subprocess.Popen[bytes]:
    """Start a command line in a session of its own, as a terminal does."""
    # A file of its own: what outlives an engine goes on writing into the one before.
    _output(folder).unlink(missing_ok=True)
    with _output(folder).open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            shell=True,
            start_new_session=True,
            stdout=output,
            stderr=output,
        )


def _output(folder: Path) -> Path:
    """What the last command said."""
    return folder.with_name(f"{folder.name}.txt")


def _engine(shell_pid: int) -> int:
    """The engine behind the shell that started it; dash replaces itself, other shells do not."""
    children = Path(f"/proc/{shell_pid}/task/{shell_pid}/children").read_text().split()
    command = Path(f"/proc/{shell_pid}/cmdline").read_text()
    return int(children[0]) if "-c\0" in command and children else shell_pid


def _running(folder: Path) -> list[tuple[str, int]]:
    """The stages that are at work in a project, with their processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = Path(os.readlink(process / "cwd")) == folder
        except OSError:
            continue
        names = [Path(word).name for word in words]
        if here and "vct" in names:
            after = " ".join(words[names.index("vct") + 1 :])
            stages = [
                name for name, command in STAGES.items() if f"{after} ".startswith(f"{command} ")
            ]
            found += [(stage, int(process.name)) for stage in stages]
    return found


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process, which other load does not change; 0 if it has ended."""
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def _wait(folder: Path) -> None:
    """Until nothing that outlived its engine is left."""
    deadline = time.monotonic() + PATIENCE
    while _running(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of each file under data/ and results/, and what dvc.lock and MLflow hold."""
    files = [file for name in ("data", "results") for file in (folder / name).rglob("*")]
    found = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file.name not in (*MARKS, *TIMED)
    }
    return found | {"dvc.lock": _locked(folder), "mlflow.db": _tracked(folder)}


def _locked(folder: Path) -> str:
    """What dvc.lock holds, but for the hashes of folders: they count MARKS in."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    for stage in stages.values():
        for part in ("deps", "outs"):
            stage[part] = [entry for entry in stage.get(part, []) if "nfiles" not in entry]
    return json.dumps(stages, sort_keys=True)


def _tracked(folder: Path) -> str:
    """Status of each run in MLflow, and how often it has each step."""
    query = (
        "select t.value, r.status, m.step, count(*) from metrics m join runs r using (run_uuid) "
        "join tags t using (run_uuid) where t.key = 'vct.run' and m.key = 'training/loss' "
        "group by 1, 2, 3"
    )
    with sqlite3.connect(folder / "mlflow.db") as database:
        return repr(sorted(database.execute(query).fetchall()))


def _differing(folder: Path, expected: dict[str, str]) -> str:
    found = fingerprint(folder)
    names = expected.keys() | found.keys()
    differing = sorted(name for name in names if expected.get(name) != found.get(name))
    if differing:
        return f"other results: {differing}"
    left = [str(file.relative_to(folder)) for file in folder.rglob(".tmp-*")]
    return f"left behind: {left}" if left else ""
