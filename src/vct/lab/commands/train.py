"""`vct train RUN`: train one coupling variant from one seed, or go on where it stopped."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vct import __version__
from vct.lab import versions
from vct.lab.data import dataset
from vct.lab.data.batches import to_float
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import AVERAGES_FILE, TRAIN_FILES, RunId
from vct.lab.files.locks import lock
from vct.lab.files.merging import merge
from vct.lab.files.tensors import save_tensors
from vct.lab.files.whole import atomic, hashes, remove_temporary, write_json, write_text
from vct.lab.processes.group import Group, current_group
from vct.lab.records import RunRecord, StartedRecord, read, write
from vct.lab.runs import weights
from vct.lab.settings.averages import PostHocSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.params import Params
from vct.lab.settings.run import RunSettings, run_settings
from vct.lab.tracking.watch import following
from vct.lab.training import checkpoint, finished, initial
from vct.lab.training.trainer import (
    Finished,
    Interrupted,
    Trainer,
    average_file,
    kept_steps,
    snapshot_file,
    snapshot_steps,
)

SUMMARY_SAMPLES = 4096
"""Data points on which a coupling's summary is measured."""
PROBE = "writable.check"
"""Written and removed at once, to find out whether results can be kept."""
UNFINISHED = "unfinished"
"""Marks that a training has begun: the next one goes on where it is, since then."""
PARTS = ("snapshot-*.safetensors", "average-*.safetensors")
"""What waits in the state folder to become a part of an output."""


def train(params: Params, name: str, fresh: bool = False) -> int | None:
    """Train a run; on SIGTERM or Ctrl-C say where it goes on, and return 128 + signal."""
    try:
        run(params, name, fresh)
    except Interrupted as stop:
        print(f"vct: {name} {stop}; the same command goes on there.", file=sys.stderr)
        return 128 + stop.number
    return None


def run(params: Params, name: str, fresh: bool = False) -> None:
    """Write the outputs of `results/<run>/` that training makes.

    Of several processes, the main one alone holds the lock, writes, and sends metrics.
    """
    run_id = RunId.parse(name)
    settings = run_settings(params, run_id)
    data = dataset.load(settings.train.dataset)
    group = current_group()
    _check_batch(settings, len(data.train.x), group)
    with _owned(run_id, fresh) if group.main else nullcontext():
        group.wait()
        used = initial.origin(settings.train) | own_code(settings)
        described = settings.model_dump(mode="json") | used
        identity = checkpoint.Identity(described, data.sha256, versions.TRAINING, run_id.seed)
        trainer = Trainer(settings, run_id.seed, data, params.runtime, run_id.state, identity)
        record = _record(run_id, settings, data.sha256, trainer) | used
        if group.any(group.main and finished.restored(run_id, record, _outputs(settings))):
            if group.main:
                _clear(run_id)
            print(
                f"{run_id} was trained to its end; its files are put back (--fresh trains again)",
                file=sys.stderr,
            )
            return
        step = trainer.resume()
        if not group.main:
            trainer.run()
            return
        if step:
            print(f"{run_id}: goes on after step {step}", file=sys.stderr)
        _finish(run_id, settings, data, trainer, record, params.runtime.tracking)


@contextmanager
def _owned(run: RunId, fresh: bool) -> Iterator[None]:
    """Hold the lock of a run's state, and clear it if a new start is asked for."""
    with lock(run.state):
        remove_temporary(run.directory, (*TRAIN_FILES, AVERAGES_FILE, PROBE))
        remove_temporary(run.state, ("checkpoint-*.ckpt", "log.jsonl", *PARTS))
        _check_writable(run.directory)
        if fresh:
            _move_aside(run.state)
        yield


def _finish(
    run: RunId,
    settings: RunSettings,
    data: Dataset,
    trainer: Trainer,
    record: dict[str, Any],
    tracked: bool,
) -> None:
    """Train to the end, write what came out, and drop the state."""
    _begin(run, record)
    with following(run, enabled=tracked, stops=Interrupted):
        trained = trainer.run()
        record["summary"] |= _summary(trained, _some(data).to(trainer.device))
        _write(run, settings, trainer, trained, record)
    try:
        finished.keep(run, _outputs(settings))
    except UserError as error:
        # The outputs are whole: a full disk must not make the engine delete them.
        finished.drop(run)
        print(
            f"warning: what the training made is not kept in {run.state}: {error}", file=sys.stderr
        )
    _clear(run)


def _begin(run: RunId, record: dict[str, Any]) -> None:
    """Leave word of what is trained since when, for whoever follows the log."""
    marker, begun = run.state / UNFINISHED, int(time.time() * 1000)
    if marker.exists() and run.started.exists():
        begun = read(StartedRecord, run.started).time
    write(StartedRecord(config=RunRecord.model_validate(record), time=begun), run.started)
    marker.touch()


def _clear(run: RunId) -> None:
    """Drop what only an unfinished training needs."""
    checkpoint.remove_all(run.state)
    for pattern in PARTS:
        for file in run.state.glob(pattern):
            file.unlink()
    (run.state / UNFINISHED).unlink(missing_ok=True)


def _some(data: Dataset) -> Tensor:
    """The first images of the training set, to measure a coupling on."""
    return to_float(data, torch.from_numpy(np.array(data.train.x[:SUMMARY_SAMPLES])))


def _check_batch(settings: RunSettings, size: int, group: Group) -> None:
    batch = settings.train.batch_size
    if batch > size:
        raise UserError(
            f"train.batch_size: {batch} is more than the {size} samples of data set "
            f"'{settings.train.dataset}'; make it smaller."
        )
    if batch % group.size:
        raise UserError(
            f"train.batch_size: {batch} samples are not shared equally by {group.size} processes; "
            "change it, or runtime.processes."
        )


def _check_writable(folder: Path) -> None:
    """Find out before hours of work whether its result can be kept."""
    with atomic(folder / PROBE) as temporary:
        temporary.touch()
    (folder / PROBE).unlink()


def _move_aside(state: Path) -> None:
    """Keep what was there under another name; the lock stays."""
    old = [file for file in state.iterdir() if file.name != "lock"]
    if not old:
        return
    number = 1
    while (aside := state.with_name(f"{state.name}.old{number}")).exists():
        number += 1
    aside.mkdir()
    for file in old:
        shutil.move(file, aside / file.name)
    print(f"the old state is in {aside}", file=sys.stderr)


def _record(
    run: RunId, settings: RunSettings, data_sha256: str, trainer: Trainer
) -> dict[str, Any]:
    parameters = sum(parameter.numel() for parameter in trainer.model.network.parameters())
    everything = sum(parameter.numel() for parameter in trainer.parameters)
    return {
        "run": str(run),
        "settings": settings.model_dump(mode="json"),
        "settings_sha256": settings.sha256(),
        "data_sha256": data_sha256,
        "code": {"vct": __version__, "training": versions.TRAINING},
        **_division(trainer),
        "summary": {"parameters": parameters, "coupling_parameters": everything - parameters},
    }


def _division(trainer: Trainer) -> dict[str, Any]:
    """How batches were divided, if they were."""
    size, micro_batch = trainer.group.size, trainer.runtime.micro_batch
    if size == 1 and micro_batch is None:
        return {}
    return {"division": {"devices": size, "micro_batch": micro_batch}}


def _summary(trained: Finished, sample: Tensor) -> dict[str, Any]:
    return {
        **trained.model.coupling.summary(sample),
        "nonfinite_steps": trained.nonfinite_steps,
        "clipped_steps": trained.clipped_steps,
    }


def _outputs(settings: RunSettings) -> list[str]:
    """What a training writes into the folder of its run, beside config.json."""
    averages = [AVERAGES_FILE] if isinstance(settings.train.ema, PostHocSettings) else []
    return [name for name in TRAIN_FILES if name != finished.RECORD] + averages


def _write(
    run: RunId, settings: RunSettings, trainer: Trainer, trained: Finished, record: dict[str, Any]
) -> None:
    weights.save(run.directory / "model.safetensors", trained.model, record)
    trainer.parts.check(run.state)
    steps = snapshot_steps(settings.train.steps, settings.train.snapshots)
    _merge_snapshots(run, steps)
    _merge_averages(run, settings)
    write_text(run.directory / "training.csv", trainer.rows.csv())
    files = hashes(run.directory, _outputs(settings))
    write_json(run.directory / finished.RECORD, {**record, "files": files})


def _merge_snapshots(run: RunId, steps: list[int]) -> None:
    """One file with the averaged network at each of `steps`, named `<step>/<parameter>`."""
    tensors: dict[str, Tensor] = {}
    for step in steps:
        path = snapshot_file(run.state, step)
        try:
            with safe_open(path, "pt") as file:
                tensors |= {f"{step}/{key}": file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} is missing or damaged ({error}); start again: vct train {run} --fresh"
            ) from None
    save_tensors(run.directory / "snapshots.safetensors", tensors)


def _merge_averages(run: RunId, settings: RunSettings) -> None:
    """One file with all averages that were kept, named `<step>/<width>/<parameter>`."""
    ema = settings.train.ema
    if not isinstance(ema, PostHocSettings):
        return
    parts = [
        (f"{step}/{width!r}", average_file(run.state, step, width))
        for step in kept_steps(settings.train)
        for width in ema.widths
    ]
    for _, path in parts:
        try:
            with safe_open(path, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} is missing or damaged ({error}); start again: vct train {run} --fresh"
            ) from None
    merge(parts, run.directory / AVERAGES_FILE)
