"""A Slurm of one node without accounting, made of Debian's packages, in a folder of its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PATIENCE = 60.0
# Cores are counted as they are. Memory and GPUs are made up, and only scheduled: nothing enforces
# them, and an empty file stands in for each GPU.
CONFIG = """\
ClusterName=trial
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=3600
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
GresTypes=gpu
NodeName={host} CPUs={cores} RealMemory=128000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=trial Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def install() -> None:
    """Install Slurm and munge; needs root and Debian's package servers."""
    subprocess.run(["apt-get", "update"], check=True)
    subprocess.run(["apt-get", "install", "--yes", *PACKAGES], check=True)


@contextmanager
def running(folder: Path, gpus: int = 2) -> Iterator[dict[str, str]]:
    """Start the cluster; yield the environment of its users. Stop what was started, by its ids."""
    folder.mkdir(parents=True)
    environment = _configure(folder, gpus)
    munge = [f"--{name}={folder}/munge.{name}" for name in ("socket", "seed-file", "log-file")]
    munge += [f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid"]
    with ExitStack() as stack:
        for command in (["munged", "-F", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]):
            stack.enter_context(_daemon(command, folder, environment))
        _until(lambda: " idle " in _ask(environment, "sinfo", "--noheader"), "the node is not idle")
        try:
            yield environment
        finally:
            _ask(environment, "scancel", "--partition=trial")
            _until(lambda: not _ask(environment, "squeue", "--noheader"), "jobs do not end")


def _configure(folder: Path, gpus: int) -> dict[str, str]:
    host, user = socket.gethostname().split(".")[0], Path.home().owner()
    names = [f"{folder}/gpu{number}" for number in range(gpus)]
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    for name in names:
        Path(name).touch()
    config = CONFIG.format(
        host=host, user=user, folder=folder, ports=_free_ports(), cores=os.cpu_count(), gpus=gpus
    )
    (folder / "slurm.conf").write_text(config)
    files = "".join(f"NodeName={host} Name=gpu File={name}\n" for name in names)
    (folder / "gres.conf").write_text(files)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    # Snakemake's executor calls srun without the variable that says where the configuration is.
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = f"{folder}/bin{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "SLURM_CONF": f"{folder}/slurm.conf"}


def _free_ports() -> list[int]:
    """Two ports that nobody listens on now: several trials may run side by side."""
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("", 0))
        return [listener.getsockname()[1] for listener in (one, other)]


@contextmanager
def _daemon(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    print(f"{command[0]}: process {process.pid}", flush=True)
    time.sleep(1)
    try:
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} ended; see {log.name}")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _ask(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _until(done, problem: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"the trial cluster: {problem}")
        time.sleep(1)
