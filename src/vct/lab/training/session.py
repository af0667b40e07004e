"""What surrounds a training: who may train a run, and whether it can."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vct import __version__
from vct.lab import build
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import PREPARED_FILE, RunId, train_files
from vct.lab.files.locks import lock
from vct.lab.files.whole import atomic, remove_temporary
from vct.lab.processes.group import Group
from vct.lab.processes.streams import say
from vct.lab.records import CodeRecord, DivisionRecord, RunRecord
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.run import RunSettings
from vct.lab.training import initial
from vct.lab.training.outputs import PENDING
from vct.lab.training.preparation import Prepared

PROBE = "writable.check"
"""Written and removed at once, to find out whether results can be kept."""


@contextmanager
def owned(run: RunId, group: Group, fresh: bool) -> Iterator[None]:
    """Let the main process of a group hold the lock of a run's state; the others wait for it.

    What killed trainings left half written is removed, and what was half prepared for them; `fresh`
    moves all that they left aside.

    Raises:
        UserError: if another training holds the lock, or the run's folder cannot be written to.
    """
    if not group.main:
        group.wait()
        yield
        return
    with lock(run.state):
        remove_temporary(run.directory, (*train_files(averages=True), PREPARED_FILE, PROBE))
        remove_temporary(run.state, ("checkpoint-*.ckpt", "log.jsonl", *PENDING))
        # Before hours of work, not after: can its result be kept?
        with atomic(run.directory / PROBE) as temporary:
            temporary.touch()
        (run.directory / PROBE).unlink()
        if fresh:
            _move_aside(run.state)
        group.wait()
        yield


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
    say(f"the old state is in {aside}")


def described(
    run: RunId,
    settings: RunSettings,
    data_sha256: str,
    group: Group,
    micro_batch: int | None,
    prepared: Prepared | None,
) -> RunRecord:
    """The record of a training that begins: all but what comes out.

    Raises:
        UserError: if the file of initial weights is missing.
    """
    divided = group.size > 1 or micro_batch is not None
    license_of_teacher = None if prepared is None else prepared.record.license
    return RunRecord(
        run=str(run),
        settings=settings.model_dump(mode="json"),
        settings_sha256=settings.sha256(),
        data_sha256=data_sha256,
        code=CodeRecord(vct=__version__, training=settings.training_version),
        division=DivisionRecord(devices=group.size, micro_batch=micro_batch) if divided else None,
        summary={},
        initial_weights_sha256=initial.sha256(settings.train),
        initial_weights_license=initial.license_of(settings.train) or license_of_teacher,
        teacher_sha256=None if prepared is None else prepared.record.teacher_sha256,
        prepared_sha256=None if prepared is None else prepared.sha256,
        own_code=own_code(settings).get("own_code"),
    )


FAR = 3
"""Factor beyond which a sigma_data is not that of the data."""


def check(
    settings: RunSettings, experiment: ExperimentSettings, data: Dataset, group: Group
) -> None:
    """Refuse batches that the data do not fill, or that `group` cannot share, and sampling that
    cannot be.

    Raises:
        UserError: naming the setting to change.
    """
    build.check_sampling(settings.train, experiment.sample, data.shape)
    given, found = settings.train.sigma_data, data.deviation
    if group.main and not found / FAR < given < found * FAR:
        say(
            f"warning: train.sigma_data: {given:g} is far from the standard deviation of data set "
            f"'{settings.train.dataset}', {found:.3g}; set it to that."
        )
    batch, size = settings.train.batch_size, len(data.train.x)
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
