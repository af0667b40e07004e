"""The handshake of the two engines: each takes over what the other one made."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from vct.lab.errors import UserError
from vct.lab.files.layout import RAW, dataset_dir
from vct.lab.files.whole import read_text
from vct.lab.settings.params import Params
from vct.lab.workflow import graph
from vct.lab.workflow.dvc import dvc_file, text


def record(params: Params, suite: str) -> None:
    """Write into dvc.lock what Snakemake made; without a DVC repository there is nothing to do."""
    file = dvc_file(suite)
    dvc = _dvc_command()
    if Path(".dvc").is_dir() and dvc and not file.is_file():
        print(f"DVC knows nothing of it yet: vct dvc {suite}; vct record {suite}", file=sys.stderr)
    if Path(".dvc").is_dir() and file.is_file() and dvc and not _stale(params, suite, file):
        # Relinking would touch the files' times, and Snakemake would run them again.
        command = [*dvc, "commit", "-f", "-q", "--no-relink", *_to_commit(dvc, params, file)]
        result = subprocess.run(command, capture_output=True, text=True, env=_environment())
        if result.returncode:
            told = (result.stderr or result.stdout).strip().splitlines()
            reason = told[-1] if told else f"a file is missing; dvc status {file} names it"
            print(f"dvc.lock is not up to date: {reason}", file=sys.stderr)


def _to_commit(dvc: list[str], params: Params, file: Path) -> list[str]:
    """The stages that DVC may take for up to date: all, but for data sets whose raw files have
    changed since, further down in a folder than Snakemake sees."""
    stages = yaml.safe_load(read_text(file))["stages"]
    data = {f"data-{name}": name for name in params.datasets if f"data-{name}" in stages}
    outdated = [
        stage
        for stage, name in data.items()
        if _raw_is_newer(params, name) and _is_changed(dvc, f"{file}:{stage}")
    ]
    if not outdated:
        return [str(file)]
    for stage in outdated:
        print(
            f"warning: the raw files of {data[stage]} have changed since its data were made, so "
            "all that is made of them is of the files before; make them again: snakemake --cores "
            f"all -f {dataset_dir(data[stage]) / 'meta.json'}",
            file=sys.stderr,
        )
    return [f"{file}:{stage}" for stage in stages if stage not in outdated]


def _raw_is_newer(params: Params, name: str) -> bool:
    """Whether a file or folder under those that a data set was made of may have changed since."""
    meta, seen = dataset_dir(name) / "meta.json", set()
    if not meta.exists():
        return False
    made = meta.stat().st_mtime
    for top in graph.raw_inputs(params, name):
        for place, folders, files in os.walk(top, followlinks=True):  # as reading does
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            for path in (place, *(os.path.join(place, each) for each in files)):
                with suppress(OSError):  # a link that leads nowhere
                    found = os.stat(path)
                    if max(found.st_mtime, found.st_ctime) > made:
                        return True
    return False


def _is_changed(dvc: list[str], stage: str) -> bool:
    """Whether DVC finds other files than a stage has read; a copy has other times alone."""
    asked = [*dvc, "status", "--json", stage]
    result = subprocess.run(asked, capture_output=True, text=True, env=_environment())
    return result.returncode != 0 or '"modified"' in result.stdout


def adopt(params: Params, suite: str) -> int:
    """Let Snakemake take over what `dvc repro`, `pull` or `checkout` brought.

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
        [*command, "status", "--json", str(file)],
        capture_output=True,
        text=True,
        env=_environment(),
    )
    if status.returncode or not only_raw_is_absent(status.stdout):
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


def only_raw_is_absent(status: str) -> bool:
    """Whether `dvc status --json` finds all as it should be, but for raw files that are elsewhere.

    DVC brings the data sets that were made of the raw files, and not those: ImageNet stays where it
    is.
    """
    try:
        stages = json.loads(status).values()
    except (ValueError, AttributeError):
        return False
    return all(_is_absent_raw(change) for changes in stages for change in changes)


def _is_absent_raw(change: Any) -> bool:
    if not isinstance(change, dict) or list(change) != ["changed deps"]:
        return False
    return all(
        state == "deleted" and Path(path).parent == RAW
        for path, state in change["changed deps"].items()
    )


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
