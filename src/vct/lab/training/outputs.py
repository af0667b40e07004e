"""What a training makes: its files, the parts of them that wait for its end, their second names.

Parts wait in the state folder until all are there. An engine deletes the outputs of a job whose end
it did not see: of a training that outlived a killed engine, or that ended while it was being
stopped. Days of training would be lost, as the checkpoints of a finished one are dropped. So its
outputs have a second name in its state folder (a hard link, which takes no room), until `vct
sample` shows that they arrived.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from vct.averages.ema import Average
from vct.averages.post_hoc import TrackedAverages
from vct.lab.data.batches import one_hot, to_float
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import AVERAGES_FILE, RunId, train_files
from vct.lab.files.tensors import merge_tensors, save_tensors
from vct.lab.files.whole import atomic, file_sha256, hashes, read_text, write_text
from vct.lab.model import Model
from vct.lab.processes.streams import say
from vct.lab.records import Number, RunRecord, StartedRecord, read, write
from vct.lab.runs import weights
from vct.lab.settings.train import TrainSettings
from vct.lab.training import checkpoint
from vct.lab.training.log import LogFile

RECORD = "config.json"
SEAL = "config.sha256"
"""Hash of the record, which has those of the others. Kept last: without it, nothing was kept."""
PENDING = ("snapshot-*.safetensors", "average-*.safetensors")
"""Names of the parts in the state folder."""
SUMMARY_SAMPLES = 4096
"""Data points on which a coupling's summary is measured."""


class PendingFiles:
    """Parts of outputs that a training has put aside, and their hashes; checkpoints carry these.

    The files wait for days. One that was damaged or lost meanwhile cannot be made again, and must
    not become part of an output.

    Args:
        folder: where they wait.
        train: says after which steps there are some.
    """

    def __init__(self, folder: Path, train: TrainSettings) -> None:
        self.snapshots = {
            step: folder / f"snapshot-{step:09d}.safetensors" for step in train.snapshot_steps
        }
        self.averages = {
            (step, width): folder / f"average-{step:09d}-{width!r}.safetensors"
            for step in train.kept_steps
            for width in train.ema.tracked
        }
        self.folder = folder
        self.hashes: dict[str, str] = {}

    def put_aside(self, step: int, ema: Average[Model]) -> None:
        """Write what is due after `step` steps: a snapshot of the averaged network, all averages
        that others are rebuilt from."""
        if path := self.snapshots.get(step):
            self._add(path, ema.module.network.state_dict())
        if isinstance(ema, TrackedAverages):
            for width, average in ema.averages.items():
                if path := self.averages.get((step, width)):
                    self._add(path, average.state_dict())

    def _add(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        save_tensors(path, tensors)
        self.hashes[path.name] = file_sha256(path)

    def check(self) -> None:
        """Compare all files with what was written.

        Raises:
            UserError: naming the first that differs or is missing.
        """
        for name, known in self.hashes.items():
            path = self.folder / name
            if not path.exists() or file_sha256(path) != known:
                raise UserError(
                    f"{path} is missing or damaged, and only a training from its beginning makes "
                    "it again: run the same command with --fresh."
                )

    def merge(self, folder: Path) -> None:
        """Write the outputs that the parts make, with tensors named `<step>/<parameter>` and
        `<step>/<width>/<parameter>`.

        Raises:
            UserError: if a part is damaged or missing.
        """
        self.check()
        snapshots = {
            f"{step}/{name}": tensor
            for step, path in self.snapshots.items()
            for name, tensor in load_file(path).items()
        }
        save_tensors(folder / "snapshots.safetensors", snapshots)
        if self.averages:
            averages = [
                (f"{step}/{width!r}", path) for (step, width), path in self.averages.items()
            ]
            merge_tensors(averages, folder / AVERAGES_FILE)


@dataclass
class TrainingResult:
    """A training that came to its end.

    Args:
        model: the averaged one.
        pending: parts of its outputs.
        log: its metrics.
        nonfinite_steps, clipped_steps: how often a gradient was mended.
    """

    model: Model
    pending: PendingFiles
    log: LogFile
    nonfinite_steps: int
    clipped_steps: int

    def summary(self, data: Dataset, conditional: bool) -> dict[str, Number]:
        """Numbers for the run's record, some of them measured on images that stand for all."""
        network, everything = _size(self.model.network), _size(self.model)
        device = next(self.model.parameters()).device
        places = data.chosen(SUMMARY_SAMPLES)
        x = to_float(data, torch.from_numpy(np.array(data.train.x[places])))
        labels = None
        if conditional:
            labels = one_hot(data, torch.from_numpy(data.train.labels[places]))
            labels = labels.to(device)
        measured = self.model.coupling.summary(x.to(device), labels)
        return {
            "parameters": network,
            "coupling_parameters": everything - network,
            **{name: float(value) for name, value in measured.items()},
            "nonfinite_steps": self.nonfinite_steps,
            "clipped_steps": self.clipped_steps,
        }


def _size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def begin(run: RunId, record: RunRecord) -> None:
    """Leave word of what is trained since when, for whoever follows the log."""
    since = int(time.time() * 1000)
    if (
        run.unfinished.exists()
    ):  # without a note, an older program began it: MLflow has it by its tags
        since = read(StartedRecord, run.started).time if run.started.exists() else 0
    write(StartedRecord(config=record, time=since), run.started)
    run.unfinished.touch()


def store(run: RunId, record: RunRecord, result: TrainingResult, data: Dataset) -> None:
    """Write all outputs; config.json, with the hashes of the others, is the last."""
    summary, folder = result.summary(data, record.conditional), run.directory
    weights.save(folder / "model.safetensors", result.model, record)
    result.pending.merge(folder)
    write_text(folder / "training.csv", result.log.csv())
    names = [name for name in train_files(bool(result.pending.averages)) if name != RECORD]
    found = {"summary": summary, "files": hashes(folder, names)}
    write(record.model_copy(update=found), folder / RECORD)


def end(run: RunId) -> None:
    """Give the outputs their second names, and drop what only an unfinished training needs."""
    try:
        _keep(run)
    except UserError as error:
        # The outputs are whole: a full disk must not make the engine delete them.
        forget(run)
        say(f"warning: what the training made is not kept in {run.state}: {error}")
    _clear(run)


def _keep(run: RunId) -> None:
    forget(run)
    for name in _names(read(RunRecord, run.directory / RECORD)):
        _place(run.directory / name, _kept(run) / name)
    write_text(_kept(run) / SEAL, file_sha256(run.directory / RECORD))


def restored(run: RunId, record: RunRecord) -> bool:
    """Put kept outputs back if they are those of the training that `record` describes.

    Others, or damaged ones, are left alone: the next training replaces them.
    """
    folder = _kept(run)
    try:
        kept = read(RunRecord, folder / RECORD)
        whole = read_text(folder / SEAL) == file_sha256(folder / RECORD)
        whole = whole and kept.files == hashes(folder, kept.files or {})
    except UserError:
        return False
    if not whole or kept.origin != record.origin:
        return False
    for name in _names(kept):
        _place(folder / name, run.directory / name)
    _clear(run)
    return True


def forget(run: RunId) -> None:
    """The outputs have arrived; a training that is asked for now is a new one."""
    with suppress(OSError):  # nothing there, or a folder that cannot be written to
        shutil.rmtree(_kept(run))


def _kept(run: RunId) -> Path:
    return run.state / "finished"


def _names(record: RunRecord) -> Iterator[str]:
    yield from record.files or ()
    yield RECORD


def _place(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the disk has no hard links."""
    with atomic(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _clear(run: RunId) -> None:
    checkpoint.remove_all(run.state)
    for pattern in (*PENDING, run.unfinished.name):
        for file in run.state.glob(pattern):
            file.unlink()
