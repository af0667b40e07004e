"""What a training made, until the next stage has read it.

An engine deletes the outputs of a job whose end it did not see: of a training that outlived a
killed engine, or that ended while it was being stopped. Days of training would be lost, as the
checkpoints of a finished one are dropped. So its outputs have a second name in its state folder (a
hard link, which takes no room), until `vct sample` shows that they arrived.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import atomic, file_sha256, read_object, read_text, write_text

RECORD = "config.json"
SEAL = "config.sha256"
"""Hash of the record, which has those of the others. Kept last: without it, nothing was kept."""
SAME = ("run", "settings_sha256", "data_sha256", "initial_weights_sha256", "own_code")
"""What must agree, beside the version of training, for outputs to be those of a training."""


def keep(run: RunId, names: list[str]) -> None:
    """Keep the outputs `names` of a finished training, and its config.json."""
    drop(run)
    for name in (*names, RECORD):
        _place(run.directory / name, _folder(run) / name)
    write_text(_folder(run) / SEAL, file_sha256(run.directory / RECORD))


def restored(run: RunId, record: dict[str, Any], names: list[str]) -> bool:
    """Put kept outputs back if they are those of the training that `record` describes.

    Others, or damaged ones, are left alone: `keep` replaces them.
    """
    folder = _folder(run)
    try:
        kept = read_object(folder / RECORD)
        sealed = read_text(folder / SEAL) == file_sha256(folder / RECORD)
        whole = kept["files"] == {name: file_sha256(folder / name) for name in names}
        same = kept["code"]["training"] == record["code"]["training"]
    except (UserError, KeyError, TypeError):
        return False
    if not (sealed and whole and same and all(kept.get(key) == record.get(key) for key in SAME)):
        return False
    for name in (*names, RECORD):
        _place(folder / name, run.directory / name)
    return True


def drop(run: RunId) -> None:
    """The outputs have arrived; a training that is asked for now is a new one."""
    with suppress(OSError):  # nothing there, or a folder that cannot be written to
        shutil.rmtree(_folder(run))


def _folder(run: RunId) -> Path:
    return run.state / "finished"


def _place(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the disk has no hard links."""
    with atomic(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
