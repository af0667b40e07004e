"""A folder in which a reduced suite runs by the project's Snakefile, apart from all else."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import yaml

from vct.lab.errors import UserError
from vct.lab.files.layout import RAW, pretrained_name
from vct.lab.files.whole import read_text, write_text
from vct.lab.settings.data import ImageFolderSettings, TorchvisionSettings
from vct.lab.settings.params import PARAMS, Params
from vct.lab.workflow.smoke import checkpoint_files

SNAKEFILE, PROFILE = Path("Snakefile"), Path("profiles/default")
TRAINING = 9000
MEMORY = {"train": TRAINING, "train_keeping_averages": TRAINING} | dict.fromkeys(
    ("prepare", "prior", "sample", "statistics", "score", "floor", "diagnose"), 4000
)
"""Of a stage in MB; the largest training of the paper suite, EDM2-S with an encoder, took 8,650."""


class _Quoting(yaml.SafeDumper):
    """Quotes all texts: some would be numbers without, to one of the versions of YAML."""


_Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def lay_out(folder: Path, reduced: Params) -> None:
    """Settings, and links to what the project has at hand: raw data, published weights."""
    header = "# Written by `vct smoke`; what it holds comes from params.yaml of the project.\n"
    content = reduced.model_dump(mode="json")
    text = header + yaml.dump(content, Dumper=_Quoting, sort_keys=False, allow_unicode=True)
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


def become_snakemake(folder: Path, suite: str, cores: int | None) -> NoReturn:
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
