"""`vct smoke SUITE`: every run of a suite for a few steps, from data to table, on this CPU.

It is done in the folder smoke/<suite>, with settings of its own, by the project's Snakefile: the
project's data, results and records are not touched.
"""

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from vct.lab.errors import UserError
from vct.lab.files.layout import RAW, pretrained_name, suite_dir
from vct.lab.files.whole import read_text, write_text
from vct.lab.settings.data import ImageFolderSettings, TorchvisionSettings
from vct.lab.settings.params import PARAMS, Params
from vct.lab.workflow.smoke import STAND_IN, checkpoint_files, reduced_suite, smoke_name

SNAKEFILE, PROFILE = Path("Snakefile"), Path("profiles/default")
TRAINING = 9000
MEMORY = {"train": TRAINING, "train_keeping_averages": TRAINING} | dict.fromkeys(
    ("sample", "statistics", "score", "floor"), 4000
)
"""Of a stage in MB; the largest training of the paper suite, EDM2-S with an encoder, took 8,650."""


def smoke(params: Params, name: str, steps: int, cores: int | None) -> None:
    """Lay out smoke/<suite> and become the Snakemake that runs there.

    Raises:
        UserError: if there is no such suite, or the numbers are out of range.
    """
    if steps < 1 or (cores is not None and cores < 1):
        raise UserError("--steps and --cores take a whole number from 1.")
    reduced = reduced_suite(params, name, steps)
    folder = Path("smoke") / name
    _lay_out(folder, reduced)
    print(_notice(reduced, smoke_name(name), steps, folder), file=sys.stderr, flush=True)
    _become_snakemake(folder, smoke_name(name), cores)


def _notice(reduced: Params, suite: str, steps: int, folder: Path) -> str:
    runs = sum(len(reduced.runs(name)) for name in reduced.suite(suite))
    replaced = [name for name in reduced.datasets if name.startswith(STAND_IN)]
    listed = ", ".join(name.removeprefix(STAND_IN) for name in replaced) or "no data set"
    table = folder / suite_dir(suite) / "table.md"
    return (
        f"{runs} runs of {steps} steps, to {table}: no number there is a result. "
        f"MNIST images stand in for {listed}. If it stops, the same command goes on; {folder} may "
        "be deleted at any time."
    )


def _lay_out(folder: Path, reduced: Params) -> None:
    """Settings, and links to what the project has at hand: raw data, published weights."""
    header = "# Written by `vct smoke`; what it holds comes from params.yaml of the project.\n"
    # JSON is YAML, and says the same of every number.
    text = header + json.dumps(reduced.model_dump(mode="json"), indent=1) + "\n"
    settings = folder / PARAMS
    if not settings.is_file() or read_text(settings) != text:
        # Checkpoints of other settings would be refused, and those of a trial are worth nothing.
        shutil.rmtree(folder / "state", ignore_errors=True)
        write_text(settings, text)
    for path in _at_hand(reduced):
        _link(folder, path)


def _at_hand(reduced: Params) -> list[Path]:
    """Files of the project that the suite can read, and that may not be there."""
    from vct.lab.data.sources.torchvision_sets import files
    from vct.lab.metrics.extractors.inception import FILE

    found = [FILE]
    for settings in reduced.datasets.values():
        if isinstance(settings, ImageFolderSettings):
            found.append(RAW / settings.raw)
        elif isinstance(settings, TorchvisionSettings):
            found += files(settings.name)
    for one in reduced.experiments.values():
        name = pretrained_name(one.train.initial_weights or "")
        found += checkpoint_files(name) if name else []
    return found


def _link(folder: Path, path: Path) -> None:
    """The same place in the folder leads to the project's file, if that is there."""
    link = folder / path
    if link.is_symlink():
        link.unlink()
    if path.exists():
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        except OSError as error:
            raise UserError(f"cannot write {link}: {error.strerror}; make room.") from None


def _become_snakemake(folder: Path, suite: str, cores: int | None) -> NoReturn:
    """In place of this process, so that signals reach Snakemake as if the user had called it."""
    here = Path.cwd()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(here / SNAKEFILE)]
    command += ["--workflow-profile", str(here / PROFILE), "--directory", str(folder)]
    command += ["--cores", str(cores or "all"), "--config", f"suite={suite}"]
    # Not more trainings at once than the memory holds.
    command += ["--resources", f"mem_mb={max(_memory(), *MEMORY.values())}", "--set-resources"]
    command += [f"{rule}:mem_mb={needed}" for rule, needed in MEMORY.items()]
    # A user's own classes lie beside params.yaml.
    path = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH")]))
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PATH": programs}
    environment.pop("MLFLOW_TRACKING_URI", None)  # trials are recorded in their own folder
    os.execve(sys.executable, command, environment)


def _memory() -> int:
    """MB of this machine, or of the container that this is."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        whole = min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return whole // 2**20
