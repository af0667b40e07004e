"""The handshake of the two engines: each takes over what the other one made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from vct.config import Params
from vct.errors import UserError
from vct.files import read_text
from vct.layout import suite_dir
from vct.stages.dvc import dvc_file, text


def record(params: Params, suite: str) -> None:
    """`vct record SUITE`: write into dvc.lock what Snakemake made; print the table.

    Runs after each successful Snakemake run, and must never fail it: without git, DVC or a DVC
    repository there is nothing to record.

    Raises:
        UserError: if there is no such suite.
    """
    params.suite(suite)
    table = suite_dir(suite) / "table.md"
    file = dvc_file(suite)
    dvc = _dvc_command()
    if Path(".dvc").is_dir() and file.is_file() and dvc and not _stale(params, suite, file):
        # Relinking would touch the files' times, and Snakemake would run them again.
        command = [*dvc, "commit", "-f", "-q", "--no-relink", str(file)]
        result = subprocess.run(command, capture_output=True, text=True, env=_environment())
        if result.returncode:
            reason = (result.stderr or result.stdout).strip().splitlines()[-1:]
            print(f"dvc.lock is not up to date: {' '.join(reason)}", file=sys.stderr)
    if table.is_file():
        print(read_text(table))


def adopt(params: Params, suite: str) -> int:
    """`vct adopt SUITE`: let Snakemake take over what `dvc repro`, `pull` or `checkout` brought.

    Snakemake knows nothing of such files, and their times are out of order. If DVC says that they
    are the right ones, they are marked as finished by Snakemake too; nothing is computed.

    Raises:
        UserError: if there is no such suite, or DVC says that files are missing or changed.
    """
    params.suite(suite)
    file = dvc_file(suite)
    command = _dvc_command()
    if not command or not file.is_file():
        raise UserError(f"{file} or the dvc command is missing; there is nothing to adopt.")
    if _stale(params, suite, file):
        raise UserError(f"{file} does not fit params.yaml; write it first: vct dvc {suite}")
    status = subprocess.run(
        [*command, "status", "-q", str(file)], capture_output=True, text=True, env=_environment()
    )
    if status.returncode:
        raise UserError(
            f"DVC finds missing or changed files ('dvc status {file}' lists them); run "
            f"'dvc repro {file}' or 'dvc pull' first, or let Snakemake make them."
        )
    touch = [
        "--cores",
        "1",
        "--touch",
        "--forceall",
        "--quiet",
        "all",
        "--config",
        f"suite={suite}",
    ]
    return subprocess.run([sys.executable, "-m", "snakemake", *touch]).returncode


def _stale(params: Params, suite: str, file: Path) -> bool:
    """Whether the DVC stages were written for other experiments, couplings or seeds."""
    try:
        stale = read_text(file) != text(params, suite)
    except UserError:
        stale = True
    if stale:
        print(f"{file} does not fit params.yaml; write it again: vct dvc {suite}", file=sys.stderr)
    return stale


def _dvc_command() -> list[str] | None:
    """DVC beside this Python, or on the path."""
    beside = Path(sys.executable).parent / "dvc"
    found = str(beside) if beside.is_file() else shutil.which("dvc")
    return [found] if found else None


def _environment() -> dict[str, str]:
    return {**os.environ, "DVC_NO_ANALYTICS": "true"}
